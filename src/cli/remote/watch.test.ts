import { expect, test } from 'vitest'
import { Problem, type ProblemCode } from '../../problem.ts'
import type { Session } from './session.ts'
import { watchRemotely } from './watch.ts'

/** A session whose calls fail with the codes, one after the other, and then answer. */
function sessionThatFails(codes: readonly ProblemCode[], answer: unknown) {
  const left = [...codes]
  let calls = 0
  const session: Session = {
    server: 'https://hub',
    async call(_route, _parameters, schema) {
      calls += 1
      const code = left.shift()
      if (code !== undefined) throw new Problem(code, `No: ${code}.`)
      return schema.parse(answer)
    },
    fetch: () => Promise.reject(new Error('not called')),
    post: () => Promise.reject(new Error('not called')),
    [Symbol.dispose]: () => undefined,
  }
  const said: string[] = []
  const { signal } = new AbortController()
  const say = (message: string) => void said.push(message)
  return {
    said,
    countCalls: () => calls,
    watched: watchRemotely(session, '1', { signal, say, longestPauseMs: 1 }),
  }
}

test('a server that is away for a moment is asked again, and that is told once', async () => {
  const { said, watched } = sessionThatFails(['server-unreachable', 'server-busy'], {
    state: 'running',
    capsules: [{ walk: { ready: 3, running: 1, completed: 2 } }],
  })
  expect(await watched.progress()).toEqual({
    state: 'running',
    capsules: [{ name: 'walk', ready: 3, running: 1, completed: 2, failed: 0 }],
    error: undefined,
  })
  expect(said).toEqual(['No: server-unreachable. Trying again for a minute.'])
})

test('any other problem ends the watching', async () => {
  const { watched } = sessionThatFails(['execution-unknown'], { output: '' })
  await expect(watched.output(true)).rejects.toMatchObject({ code: 'execution-unknown' })
})

test('a long output is not fetched at every look, but at the end', async () => {
  const output = 'x'.repeat(600 * 1024)
  const { watched, countCalls } = sessionThatFails([], { output })
  for (const calls of [1, 1, 1, 2]) {
    expect(await watched.output(false)).toBe(output)
    expect(countCalls()).toBe(calls)
  }
  await watched.output(true)
  expect(countCalls()).toBe(3)
})
