import type { Executions } from '../engine/contract.ts'
import { Problem } from '../problem.ts'
import type { KeptOfUsers, Users } from './contract.ts'

export interface RemovalParts {
  readonly users: Users
  readonly executions: Pick<Executions, 'list' | 'remove'>
  readonly kept: readonly KeptOfUsers[]
}

/**
 * Removes a user with all that is his. Throws Problem user-unknown, and user-conflict where he has executions, unless
 * these are to be removed too. What was broken off goes on when it is asked for again, though the user is gone then.
 */
export async function removeUser(
  name: string,
  isWithExecutions: boolean,
  { users, executions, kept }: RemovalParts,
): Promise<void> {
  const left = executions.list({ owner: name }).length
  if (left > 0 && !isWithExecutions)
    throw new Problem('user-conflict', `${name} has ${left} executions.`, {
      hint: 'Fetch what is needed of them, then remove them too: molehill user remove NAME --with-executions',
    })
  // First, so that nobody starts anything more in his name.
  if (users.find(name) !== undefined || left === 0) await users.remove(name)
  for (const { id } of executions.list({ owner: name })) await executions.remove(id)
  for (const each of kept) await each.forget(name)
}

/** Adds a user. Throws Problem as `Users.add`, and user-conflict where an earlier one of the name has left executions. */
export async function addUser(
  name: string,
  settings: Parameters<Users['add']>[1],
  { users, executions }: Pick<RemovalParts, 'users' | 'executions'>,
): Promise<void> {
  if (users.find(name) === undefined && executions.list({ owner: name }).length > 0)
    throw new Problem('user-conflict', `Executions of an earlier user named ${name} are left.`, {
      hint: 'Remove them: molehill user remove NAME --with-executions',
    })
  await users.add(name, settings)
}
