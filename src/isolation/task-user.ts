import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Problem } from '../problem.ts'
import type { IsolationWish, TaskUser } from './isolation.ts'

const run = promisify(execFile)

/**
 * The user as whom scripts and tasks shall run, where the operator names one. Undefined where none is named.
 * @param userId who runs the server; undefined where the system has no such numbers
 * @param setpriv absolute path of the program that changes the user
 * @throws Problem configuration-invalid when that user cannot be taken, with what to do.
 */
export async function findTaskUser(
  name: string | undefined,
  wish: IsolationWish,
  setpriv: string | undefined,
  userId = process.geteuid?.(),
): Promise<TaskUser | undefined> {
  if (name === undefined) return undefined
  if (userId !== 0)
    throw refusal(
      `Only a server that root starts can run tasks as the user ${name}, and this one is started by user ${userId ?? '?'}.`,
      'Leave out --task-user: tasks then run as the user of the server. Or start it as root.',
    )
  if (wish !== 'required')
    throw refusal(
      `Tasks can run as the user ${name} only where each has a box of its own, and isolation is ${wish}.`,
      'Add --isolation required, or leave out --task-user.',
    )
  if (setpriv === undefined)
    throw refusal(
      `Tasks cannot run as the user ${name}: there is no setpriv.`,
      'Install util-linux, which has it in /usr/bin.',
    )
  const [, , userNumber, groupNumber] = (await readAccount(name)) ?? []
  if (userNumber === undefined || groupNumber === undefined)
    throw refusal(
      `There is no user ${name} on this computer, as whom tasks are to run.`,
      `Make one that owns nothing (Debian: adduser --system --group ${name}), or name another with --task-user.`,
    )
  if (Number(userNumber) === 0 || Number(groupNumber) === 0)
    throw refusal(
      `Tasks are to run as a lower user, and ${name} is root or belongs to the group of root.`,
      'Name a user that owns nothing, or leave out --task-user.',
    )
  return { name, userId: Number(userNumber), groupId: Number(groupNumber), setpriv }
}

async function readAccount(name: string): Promise<readonly string[] | undefined> {
  if (!/^[A-Za-z0-9_.][\w.@-]*\$?$/.test(name)) return undefined
  try {
    const { stdout } = await run('getent', ['passwd', name])
    return stdout.trim().split(':')
  } catch {
    // It exits with 2 for a name that it does not know.
    return undefined
  }
}

function refusal(message: string, hint: string): Problem {
  return new Problem('configuration-invalid', message, { hint })
}
