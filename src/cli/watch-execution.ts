import type { Session } from './remote/session.ts'
import { watchRemotely } from './remote/watch.ts'
import { follow } from './screen/follow.ts'
import { interruptible } from './screen/interrupts.ts'
import type { Progress } from './screen/progress.ts'
import { say, type Terminal } from './screen/terminal.ts'

/** What a failed execution ends a watching command with. */
export const executionFailedExitCode = 6

/** Watches an execution on a server to its end. Ctrl-C ends the watching; the execution goes on. */
export async function watchExecution(
  session: Session,
  id: string,
  terminal: Terminal,
  { output }: { readonly output: boolean },
): Promise<Progress> {
  const tell = (message: string) => say(terminal, message)
  const work = (signal: AbortSignal) =>
    follow(terminal, watchRemotely(session, id, { signal, say: tell }), { output })
  return await interruptible(work, {
    first() {
      tell(`The execution goes on. Watch it again: molehill state ${id} --follow`)
      tell(`Or stop it: molehill cancel ${id}`)
    },
  })
}
