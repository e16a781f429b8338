import { Problem } from '../problem.ts'

/**
 * The members of the JSON object in the file, or undefined when the file is not there and nobody named it.
 * Throws Problem('configuration-invalid'). No message quotes the content: it may hold a secret in a wrong place.
 */
export async function readConfigurationFile(
  path: string,
  isNamed: boolean,
  readFile: (path: string) => Promise<string>,
): Promise<ReadonlyMap<string, unknown> | undefined> {
  let content: string
  try {
    content = await readFile(path)
  } catch (cause) {
    const isAbsent = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
    if (isAbsent && !isNamed) return undefined
    const reason = isAbsent ? 'does not exist' : `cannot be read: ${String(cause)}`
    throw new Problem('configuration-invalid', `The configuration file ${path} ${reason}.`, { cause })
  }
  return parseMembers(content, path)
}

function parseMembers(content: string, path: string): ReadonlyMap<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(content.replace(/^\uFEFF/, ''))
  } catch (cause) {
    // The parser's own message quotes the text around the fault, which may hold a secret.
    const at = /position \d+( \(line \d+ column \d+\))?/.exec(String(cause))?.[0]
    throw new Problem(
      'configuration-invalid',
      `The configuration file ${path} is not JSON${at === undefined ? '' : `: see ${at}`}.`,
      { hint: 'Write one JSON object, such as { "port": 8443 }. JSON knows no comments.' },
    )
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new Problem(
      'configuration-invalid',
      `Expected one JSON object in the configuration file ${path}, got ${Array.isArray(parsed) ? 'a list' : typeof parsed}.`,
      { hint: 'Write one JSON object, such as { "port": 8443 }.' },
    )
  return new Map(Object.entries(parsed))
}
