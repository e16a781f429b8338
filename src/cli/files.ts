import type { Command } from 'commander'
import { addExamples, type CommonOptions } from './command.ts'
import { filesAnswer } from './remote/answers.ts'
import { addRemoteOptions, connectServer, type RemoteOptions } from './remote/remote-options.ts'
import { formatTable, formatTime } from './screen/table.ts'
import { print, printJson, type Terminal } from './screen/terminal.ts'

type FilesOptions = CommonOptions & RemoteOptions

export function define(command: Command, terminal: Terminal): void {
  command
    .argument('<id>', 'the execution')
    .argument('[path]', 'a directory in its work directory', '')
    .action(async (id: string, path: string, options: FilesOptions) => showFiles(id, path, options, terminal))
  addRemoteOptions(command)
  addExamples(command, ['molehill files 0c6f...', 'molehill files 0c6f... results --json'])
}

async function showFiles(id: string, path: string, options: FilesOptions, terminal: Terminal): Promise<void> {
  using session = await connectServer(options, terminal)
  const entries = await session.call('files', { id, path }, filesAnswer)
  if (options.json) {
    await printJson(terminal, entries)
    return
  }
  const rows = entries.map(({ name, type, size, mtime }) => [
    type === 'directory' ? `${name}/` : name,
    type === 'file' ? String(size) : type,
    formatTime(mtime),
  ])
  await print(terminal, formatTable(['name', 'bytes', 'changed'], rows))
}
