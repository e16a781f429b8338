import { readFile, stat } from 'node:fs/promises'
import { EnvironmentError } from '../../../src/environment/environment.ts'

export interface TlsFacts {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized?: false
}

/** What a connection needs. */
export interface Access {
  /** `https://host:port`, maybe with a path, no slash at the end. */
  readonly server: string
  /** The one that the source names. */
  readonly namespace?: string
  readonly tls: TlsFacts
  /** They go with each request. */
  readonly headers: Readonly<Record<string, string>>
  /** Texts that must not be told. */
  readonly secrets: readonly string[]
  /** From when on they should be read again although nobody refused them, in ms since 1970. */
  readonly staleAtMs?: number
}

/** The address without a slash at its end. Throws where it is not https. */
export function httpsAddress(text: string, whose: string): string {
  const url = URL.parse(text)
  if (url?.protocol === 'http:')
    throw new EnvironmentError(
      `The address ${url.origin} of ${whose} is plain http: tokens would go over the network in clear text. Use https.`,
    )
  if (url === null || url.protocol !== 'https:' || url.hostname === '' || url.search !== '')
    throw new EnvironmentError(
      `The address ${JSON.stringify(text)} of ${whose} is not of the form https://host:6443.`,
    )
  if (url.username !== '' || url.password !== '')
    throw new EnvironmentError(`The address ${url.host} of ${whose} must hold no user or password.`)
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

/** A token as a header may carry it. */
export function tokenIn(text: string, whose: string): string {
  const token = text.trim()
  if (token === '') throw new EnvironmentError(`The token of ${whose} is empty.`)
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new EnvironmentError(`The token of ${whose} holds characters that no token has, such as spaces.`)
  return token
}

const mostFileBytes = 2 ** 20

/** A small text file. Throws EnvironmentError that names it where it is not there, too large or not ours to read. */
export async function readText(path: string, what: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > mostFileBytes)
      throw new EnvironmentError(`${path}, ${what}, has ${size} bytes; expected at most ${mostFileBytes}.`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof EnvironmentError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    const why =
      code === 'ENOENT'
        ? 'does not exist'
        : code === 'EACCES'
          ? 'may not be read by this server'
          : `cannot be read (${code})`
    throw new EnvironmentError(`${path}, ${what}, ${why}.`, { cause: error })
  }
}
