import { createReadStream } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { packDirectory } from '../../files/pack.ts'
import { Problem } from '../../problem.ts'
import { oneLine } from '../screen/table.ts'
import { say, type Terminal } from '../screen/terminal.ts'
import { kindOf } from '../work-directory.ts'
import type { FormFile } from './multipart.ts'

/**
 * What is sent as a work directory: a directory, packed on the way, or a tar.gz file as it is. Each call of what comes
 * back begins anew. Throws Problem('file-missing').
 */
export async function openArchiveSource(named: string, terminal: Terminal): Promise<() => FormFile> {
  const path = resolve(terminal.currentDirectory, named)
  const kind = await kindOf(path)
  if (kind === 'nothing')
    throw new Problem('file-missing', `There is no directory and no archive ${path}.`, {
      hint: 'Name the work directory, or a tar.gz file of it.',
    })
  if (kind === 'file')
    return () => ({
      field: 'workDirectory',
      name: basename(path),
      contentType: 'application/gzip',
      content: createReadStream(path, { highWaterMark: 256 * 1024 }),
    })
  const directory = await realpath(path)
  const onLeftOut = (left: string, why: string) => say(terminal, `Left out ${oneLine(left)}: ${why}.`)
  return () => ({
    field: 'workDirectory',
    name: `${basename(directory)}.tar.gz`,
    contentType: 'application/gzip',
    content: packDirectory(directory, undefined, { onLeftOut }),
  })
}
