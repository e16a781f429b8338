import type { Command } from 'commander'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { basename, dirname, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { defaultArchiveLimits, type ArchiveLimits } from '../files/archive-limits.ts'
import { unpackArchive } from '../files/unpack.ts'
import { Problem } from '../problem.ts'
import { addExamples, type CommonOptions } from './command.ts'
import { describeBreak } from './remote/client.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { interruptible } from './screen/interrupts.ts'
import { printJson, say, type Terminal } from './screen/terminal.ts'
import { kindOf } from './work-directory.ts'

interface DownloadOptions extends CommonOptions, RemoteOptions {
  readonly output?: string
  readonly extract?: string
}

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('<id>', 'the execution')
    .argument('[path]', 'a file or directory in its work directory; else all of it', '')
    .option('-o, --output <file>', 'where to write it; - is stdout. A file that is there is replaced')
    .option('--extract <directory>', 'unpack a directory there; it must not exist, or be empty')
    .action(async (id: string, path: string, options: DownloadOptions) =>
      download(id, path, options, terminal),
    )
  addRemoteOptions(command)
  addExamples(command, [
    'molehill download 0c6f...                          all of it, as 0c6f....tar.gz',
    'molehill download 0c6f... --extract results        all of it, unpacked',
    'molehill download 0c6f... fits.csv -o - | head     a file',
  ])
}

async function download(
  id: string,
  path: string,
  options: DownloadOptions,
  terminal: Terminal,
): Promise<void> {
  using session = await connectServer(options, terminal)
  const written = await interruptible(async (signal) => {
    const response = await session.fetch('download', { id, path, gzip: 'false' }, signal)
    try {
      return await write(response, { id, path, ...options, signal }, terminal)
    } catch (error) {
      throw describeBreak(error)
    } finally {
      response.destroy()
    }
  })
  if (written === undefined) return
  if (options.json) await printJson(terminal, { path: resolve(terminal.currentDirectory, written) })
  else say(terminal, `Wrote ${written}.`)
}

interface Wanted {
  readonly id: string
  readonly path: string
  readonly output?: string
  readonly extract?: string
  readonly signal: AbortSignal
}

/** Answers with the name of what was written, if it is not stdout. */
async function write(
  response: IncomingMessage,
  { id, path, output, extract, signal }: Wanted,
  terminal: Terminal,
): Promise<string | undefined> {
  if (output === '-') {
    await pipeline(response, terminal.stdout, { end: false, signal })
    return undefined
  }
  const named = extract ?? output ?? (await chooseName(id, path, response, terminal))
  const target = resolve(terminal.currentDirectory, named)
  if (extract === undefined) await saveFile(response, target, signal)
  else await unpackInto(response, target, signal)
  return named
}

/** A name in the current directory that nothing has yet. */
async function chooseName(
  id: string,
  path: string,
  { headers }: IncomingMessage,
  terminal: Terminal,
): Promise<string> {
  // A directory comes under this name, whatever its own is.
  const isArchive = /filename="archive\.tgz"/.test(headers['content-disposition'] ?? '')
  const own = basename(path) === '' || basename(path) === '.' ? id : basename(path)
  const name = isArchive && !own.endsWith('.tgz') ? `${own}.tar.gz` : own
  if ((await kindOf(resolve(terminal.currentDirectory, name))) === 'nothing') return name
  throw new Problem('parameter-invalid', `${name} is there already; nothing was changed.`, {
    hint: `Choose where to write it: -o FILE. With -o ${name} it is replaced.`,
  })
}

/** A file under this name is either whole or not there. */
async function saveFile(source: IncomingMessage, target: string, signal: AbortSignal): Promise<void> {
  if ((await kindOf(target)) === 'directory')
    throw new Problem('parameter-invalid', `${target} is a directory.`, { hint: 'Name a file with -o.' })
  const fresh = `${target}.part-${process.pid}`
  try {
    await pipeline(source, createWriteStream(fresh), { signal })
    await rename(fresh, target)
  } catch (error) {
    await rm(fresh, { force: true })
    throw error
  }
}

/** Results may be as large as they are: the limits of what a server takes do not hold here. */
const unlimited: ArchiveLimits = {
  uploadBytes: Number.MAX_SAFE_INTEGER,
  unpackedBytes: Number.MAX_SAFE_INTEGER,
  entries: Number.MAX_SAFE_INTEGER,
  ratio: Number.MAX_SAFE_INTEGER,
  timeMs: defaultArchiveLimits.timeMs,
}

async function unpackInto(source: IncomingMessage, target: string, signal: AbortSignal): Promise<void> {
  const kind = await kindOf(target)
  if (kind === 'file' || (kind === 'directory' && (await readdir(target)).length > 0))
    throw new Problem('parameter-invalid', `${target} is there already; nothing was changed.`, {
      hint: 'Name a directory that does not exist yet, or an empty one.',
    })
  await mkdir(dirname(target), { recursive: true })
  await unpackArchive(source as AsyncIterable<Buffer>, target, unlimited, signal)
}
