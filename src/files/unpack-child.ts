/**
 * The process that reads an uploaded archive: tar.gz on standard input, one JSON line on standard output,
 * after an empty one when it begins. It can write
 * wherever its user can, so only `quarantine.ts` opens files; its parent gives it the directory and ends it.
 */
import { rmSync } from 'node:fs'
import { toProblem } from '../problem.ts'
import { readArchive } from './read-archive.ts'

async function answer(): Promise<object> {
  const [directory, limits] = process.argv.slice(2)
  if (directory === undefined || limits === undefined) throw new Error('expected a directory and limits')
  try {
    return { kind: 'unpacked', ...(await readArchive(process.stdin, directory, JSON.parse(limits))) }
  } catch (error) {
    rmSync(directory, { recursive: true, force: true })
    const { code, message, hint } = toProblem(error)
    return { kind: 'refused', code, message, hint }
  }
}

process.umask(0o022)
// White space before the answer says that it reads from here on.
process.stdout.write('\n')
const line = `${JSON.stringify(await answer())}\n`
// The source may still be sending after a refusal: leave without reading on.
process.stdout.write(line, () => process.exit(0))
