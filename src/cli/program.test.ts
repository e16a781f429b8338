import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { fakeTerminal } from '../../test/helpers/fake-terminal.ts'
import { commands } from './commands.ts'
import { runCommandLine } from './program.ts'

test('each command has a file of its own that leads its help with examples', async () => {
  const files = await readdir(import.meta.dirname)
  for (const { name } of commands) {
    expect(files).toContain(`${name}.ts`)
    const terminal = fakeTerminal()
    expect(await runCommandLine([name, '-h'], terminal)).toBe(0)
    expect(terminal.written.stdout).toMatch(new RegExp(`^Examples:\n {2}molehill ${name}`))
    expect(terminal.written.stdout).toContain('--json')
  }
})

test('the help of all leads with examples and lists each command', async () => {
  const terminal = fakeTerminal()
  expect(await runCommandLine(['--help'], terminal)).toBe(0)
  expect(terminal.written.stdout).toMatch(/^Examples:\n/)
  for (const { name, summary } of commands)
    expect(terminal.written.stdout).toMatch(new RegExp(`^ {2}${name} .*${summary}$`, 'm'))
})

test('help COMMAND is the same as COMMAND --help', async () => {
  const [one, other] = [fakeTerminal(), fakeTerminal()]
  await runCommandLine(['help', 'run'], one)
  await runCommandLine(['run', '--help'], other)
  expect(one.written.stdout).toBe(other.written.stdout)
})

test.each([
  [['srve'], /Did you mean serve\?/],
  [['run', '--scrpt', 'x'], /Did you mean --script\?/],
  [['serve', '--prot', '1'], /Did you mean --port\?/],
  [['state'], /missing required argument 'id'/],
  [['list', 'more'], /too many arguments/],
  [['jobs', 'id', '--state', 'lost'], /Allowed choices are ready/],
])('%j is refused with a hint', async (words, message) => {
  const terminal = fakeTerminal()
  expect(await runCommandLine(words, terminal)).toBe(2)
  expect(terminal.written.stdout).toBe('')
  expect(terminal.written.stderr).toMatch(message)
  expect(terminal.written.stderr).toMatch(/^hint: molehill .*--help/m)
})

test('config show tells where each value comes from', async () => {
  const terminal = fakeTerminal({ variables: { HOME: '/home/ada', MOLEHILL_SLOTS: '3' } })
  expect(await runCommandLine(['config', 'show', '--port', '9000', '--json'], terminal)).toBe(0)
  expect(JSON.parse(terminal.written.stdout)).toMatchObject({
    file: null,
    options: {
      port: { value: 9000, origin: 'flag --port' },
      slots: { value: 3, origin: 'variable MOLEHILL_SLOTS' },
      host: { value: '127.0.0.1', origin: 'default' },
    },
  })
})

test('a value that cannot be used is told as any other problem', async () => {
  const terminal = fakeTerminal({ variables: { HOME: '/home/ada' } })
  expect(await runCommandLine(['config', 'show', '--port', 'many', '--json'], terminal)).toBe(2)
  expect(JSON.parse(terminal.written.stderr)).toMatchObject({ code: 'configuration-invalid' })
})
