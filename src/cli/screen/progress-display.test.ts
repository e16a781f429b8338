import { expect, test } from 'vitest'
import { fakeTerminal } from '../../../test/helpers/fake-terminal.ts'
import { createProgressDisplay } from './progress-display.ts'

const progress = (completed: number, state: 'running' | 'finished' = 'running') => ({
  state,
  capsules: [{ name: 'walk', ready: 10 - completed, running: 0, completed, failed: 0 }],
})

test('without a terminal there is a line every five seconds, and one at the end', () => {
  const terminal = fakeTerminal()
  const display = createProgressDisplay(terminal)
  for (const [time, completed] of [
    [0, 0],
    [1000, 1],
    [4999, 2],
    [5000, 5],
  ] as const) {
    terminal.time = time
    display.show(progress(completed))
  }
  terminal.time = 5100
  display.show(progress(10, 'finished'))
  expect(terminal.written.stderr.split('\n')).toEqual([
    'walk 0/10',
    expect.stringContaining('walk 5/10'),
    'walk 10/10',
    '',
  ])
})

test('on a terminal bars are drawn over, and data is written between them', async () => {
  const terminal = fakeTerminal({ isTTY: true })
  const display = createProgressDisplay(terminal)
  display.show(progress(0))
  display.show(progress(5))
  expect(terminal.written.stderr.split('\u001B[1F\u001B[0J')).toHaveLength(2)
  await display.write('a line\n')
  expect(terminal.written.stdout).toBe('a line\n')
  expect(terminal.written.stderr.split('\u001B[1F\u001B[0J')).toHaveLength(3)
})

test('a dumb terminal gets lines', () => {
  const terminal = fakeTerminal({ isTTY: true, variables: { TERM: 'dumb' } })
  createProgressDisplay(terminal).show(progress(1))
  expect(terminal.written.stderr).toBe('walk 1/10\n')
})
