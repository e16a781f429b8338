import { existsSync } from 'node:fs'
import { appendFile, chmod, copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../conformance/until.ts'
import { makeOwned, readAccount } from './account.ts'
import type { Sshd } from './sshd.ts'

/** Where in the next run of a program its connection is cut. */
export type Cut =
  /** Before it does anything; then it does nothing. */
  | { readonly kind: 'before' }
  /** When it has done its work, and before its answer. */
  | { readonly kind: 'after' }
  /** When it has read so much of its input. */
  | { readonly kind: 'reading'; readonly bytes: number }
  /** When so much of its output is under way. */
  | { readonly kind: 'writing'; readonly bytes: number }
  /** Before it does anything; it does its work when it is told to go on. */
  | { readonly kind: 'late' }
  /** Nothing is cut: it waits until it is told to go on. */
  | { readonly kind: 'held' }

/** Cuts connections of a server from inside, by what visitors run there. */
export interface SessionCuts {
  /** The next run of the program carries it out, once. */
  order(program: string, cut: Cut): Promise<void>
  /** Resolves when the order for this program was taken. */
  taken(program: string): Promise<void>
  /** Whether the order for this program still waits. */
  isOpen(program: string): boolean
  /** Tells a program that waits for it to go on. */
  goOn(program: string, kind: 'late' | 'held'): Promise<void>
  /** Takes back orders that nobody took. */
  clear(): Promise<void>
}

/** Puts programs of these names before the true ones, for whoever logs in. */
export async function installSessionCuts(server: Sshd, programs: readonly string[]): Promise<SessionCuts> {
  const place = join(server.directory, 'cuts')
  const inPlace = (program: string, what: string) => join(place, `${program}.${what}`)
  await makeOwned(place, await readAccount())
  await mkdir(join(place, 'bin'))
  for (const program of programs) {
    const file = join(place, 'bin', program)
    await copyFile(join(import.meta.dirname, 'cut-program.sh'), file)
    await chmod(file, 0o755)
  }
  // The one for commands, the other for logins, whose /etc/profile sets another PATH.
  for (const file of ['.bashrc', '.profile'])
    await appendFile(join(server.home, file), `PATH=${join(place, 'bin')}:$PATH\n`)
  return {
    order: async (program, cut) => {
      await rm(inPlace(program, 'taken'), { force: true })
      const text = `${cut.kind} ${'bytes' in cut ? cut.bytes : ''}\n`
      await writeFile(inPlace(program, 'new'), text)
      await rename(inPlace(program, 'new'), inPlace(program, 'order'))
    },
    taken: async (program) => {
      const isTaken = () => (existsSync(inPlace(program, 'taken')) ? true : undefined)
      await until(`${program} takes its order`, isTaken, undefined, 60_000)
    },
    isOpen: (program) => existsSync(inPlace(program, 'order')),
    goOn: (program, kind) => writeFile(inPlace(program, kind), ''),
    clear: async () => {
      for (const program of programs)
        for (const what of ['order', 'taken', 'late', 'held'])
          await rm(inPlace(program, what), { force: true })
    },
  }
}
