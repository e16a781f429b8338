import { describe, expect, it } from 'vitest'
import { chooseNext, precedenceOf } from './precedence.ts'

const execution = (id: string, owner: string, priority?: string) => ({
  id,
  owner,
  labels: priority === undefined ? {} : { priority },
})

describe('executions that wait', () => {
  it('come in the order in which they came, but for priorities of one owner', () => {
    const next = (...waiting: readonly ReturnType<typeof execution>[]) => chooseNext(waiting)?.id
    expect(next()).toBeUndefined()
    expect(next(execution('a', 'ann'), execution('b', 'ann', '9'))).toBe('a')
    expect(next(execution('a', 'ann', '1'), execution('b', 'ann', '2'), execution('c', 'ann', '2'))).toBe('b')
    expect(next(execution('a', 'ann', '1'), execution('b', 'bob', '9'), execution('c', 'ann'))).toBe('a')
    expect(next(execution('a', 'ann', '-1'), execution('b', 'ann', '0'))).toBe('b')
  })

  it('have no priority where the label is no number', () => {
    expect(precedenceOf(execution('a', 'ann', 'x'))).toBeUndefined()
    expect(precedenceOf(execution('a', 'ann', '3'))).toEqual({ group: 'ann', priority: 3 })
  })
})
