import { describe, expect, it } from 'vitest'
import { Problem } from '../problem.ts'
import type { IsolationWish } from './isolation.ts'
import { probeIsolation } from './probe.ts'
import { findTaskUser } from './task-user.ts'

const setpriv = '/usr/bin/setpriv'

async function refusal(
  name: string,
  { wish = 'required', userId = 0 }: { readonly wish?: IsolationWish; readonly userId?: number } = {},
): Promise<string> {
  const error: unknown = await findTaskUser(name, wish, setpriv, userId).catch((caught: unknown) => caught)
  if (!(error instanceof Problem)) throw new Error('It was not refused.')
  expect(error.code).toBe('configuration-invalid')
  return `${error.message} ${error.hint}`
}

describe('another user for tasks', () => {
  it('is nobody where none is named, whatever else holds', async () => {
    expect(await findTaskUser(undefined, 'none', undefined, 1000)).toBeUndefined()
  })

  it('is found with its numbers', async () => {
    expect(await findTaskUser('nobody', 'required', setpriv, 0)).toEqual({
      name: 'nobody',
      userId: 65_534,
      groupId: 65_534,
      setpriv,
    })
  })

  it('is refused to a server that root has not started', async () => {
    expect(await refusal('nobody', { userId: 1000 })).toMatch(
      /Only a server that root starts .* this one is started by user 1000\. Leave out --task-user/,
    )
  })

  it.each(['best-effort', 'none'] as const)('is refused where isolation is %s', async (wish) => {
    expect(await refusal('nobody', { wish })).toMatch(
      new RegExp(`isolation is ${wish}\\. Add --isolation required`),
    )
  })

  it.each(['no-such-user', '-x', '', 'a b', '../etc'])(
    'is refused where there is no user %j',
    async (name) => {
      expect(await refusal(name)).toMatch(/There is no user .* adduser --system/)
    },
  )

  it.each(['root', '0'])('is refused where that is root: %s', async (name) => {
    expect(await refusal(name)).toMatch(/is root or belongs to the group of root/)
  })

  it('is refused where nothing can change the user', async () => {
    const error: unknown = await findTaskUser('nobody', 'required', undefined, 0).catch(
      (caught: unknown) => caught,
    )
    expect(error).toMatchObject({ message: expect.stringContaining('there is no setpriv') })
  })

  it.runIf(process.geteuid?.() === 0)('gets a box that works (only root can try it)', async () => {
    const isolation = await probeIsolation('required', process.env, 'nobody')
    expect(isolation).toMatchObject({ taskUser: { name: 'nobody' }, isWeaker: false })
    expect(isolation.report).toMatch(/ Scripts and tasks run as the user nobody\.$/)
  })
})
