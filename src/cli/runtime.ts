import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { exportContent } from '../environment/job-files/export-content.ts'
import { makeRuntime } from '../script/runtime.ts'
import { addExamples } from './command.ts'
import { print, type Terminal } from './screen/terminal.ts'

export function define(command: Command, terminal: Terminal): void {
  command.argument('<directory>', 'where to put it; made where it is missing')
  command.action(async (directory: string) => {
    await exportRuntime(resolve(terminal.currentDirectory, directory), terminal)
  })
  addExamples(command, [
    'molehill runtime image/usr/share/molehill              for an image of jobs on Kubernetes',
  ])
  command.addHelpText(
    'after',
    '\nIt belongs to this version of Molehill and to this Node. Say hasRuntime: true of an image that has it in /usr/share/molehill.',
  )
}

async function exportRuntime(directory: string, terminal: Terminal): Promise<void> {
  const { signal } = new AbortController()
  const temporary = await mkdtemp(join(tmpdir(), 'molehill-runtime-'))
  try {
    const runtime = await makeRuntime(join(temporary, 'runtime'), terminal.now())
    await mkdir(directory, { recursive: true })
    for (const from of [runtime.node, runtime.directory])
      await print(terminal, `${join(directory, await exportContent(from, directory, signal))}\n`)
  } finally {
    await rm(temporary, { recursive: true })
  }
}
