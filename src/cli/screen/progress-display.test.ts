import { expect, test } from 'vitest'
import { fakeTerminal } from '../../../test/helpers/fake-terminal.ts'
import { createProgressDisplay } from './progress-display.ts'
import { print, say } from './terminal.ts'

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

test('on a terminal bars are drawn over, and all else is written above them', async () => {
  const terminal = fakeTerminal({ isTTY: true })
  const display = createProgressDisplay(terminal)
  const [erase, bar] = ['\u001B[1F\u001B[0J', /^walk █*░+ \d\/10/]
  display.show(progress(0))
  display.show(progress(5))
  say(terminal, 'careful')
  await print(terminal, 'a line\n')
  display.close()
  say(terminal, 'finished')
  const [first, second, third, fourth] = terminal.written.stderr.split(erase)
  expect(first).toMatch(bar)
  expect(second).toMatch(bar)
  expect(third).toBe(`careful\n${second}`)
  expect(fourth).toBe(`${second}finished\n`)
  expect(terminal.written.stdout).toBe('a line\n')
})

test('a dumb terminal gets lines', () => {
  const terminal = fakeTerminal({ isTTY: true, variables: { TERM: 'dumb' } })
  createProgressDisplay(terminal).show(progress(1))
  expect(terminal.written.stderr).toBe('walk 1/10\n')
})
