import { expect, test } from 'vitest'
import { fakeTerminal } from '../../../test/helpers/fake-terminal.ts'
import { Problem } from '../../problem.ts'
import { Exit, tellFailure } from './failure.ts'

const quiet = { json: false, verbose: false }

test('a problem is a sentence and a hint, and gives its exit code', () => {
  const terminal = fakeTerminal()
  const problem = new Problem('script-invalid', 'It is no workflow.', { hint: 'Export one.' })
  expect(tellFailure(terminal, problem, quiet)).toBe(3)
  expect(terminal.written).toEqual({ stdout: '', stderr: 'error: It is no workflow.\nhint: Export one.\n' })
})

test('the stack is shown only when asked for', () => {
  const [silent, verbose] = [fakeTerminal(), fakeTerminal()]
  expect(tellFailure(silent, new TypeError('x is no function'), quiet)).toBe(70)
  expect(silent.written.stderr).not.toContain('failure.test.ts')
  expect(silent.written.stderr).toContain('--verbose')
  tellFailure(verbose, new TypeError('x is no function'), { json: false, verbose: true })
  expect(verbose.written.stderr).toContain('failure.test.ts')
})

test('as JSON it has code, message and hint', () => {
  const terminal = fakeTerminal()
  tellFailure(terminal, new Problem('file-missing', 'No such file.'), { json: true, verbose: false })
  expect(JSON.parse(terminal.written.stderr)).toEqual({ code: 'file-missing', message: 'No such file.' })
})

test('colour shows on a terminal, and not where NO_COLOR is set', () => {
  const [coloured, plain] = [
    fakeTerminal({ isTTY: true }),
    fakeTerminal({ isTTY: true, variables: { NO_COLOR: '1' } }),
  ]
  for (const terminal of [coloured, plain]) tellFailure(terminal, new Problem('file-missing', 'x'), quiet)
  expect(coloured.written.stderr).toContain('\u001B[31m')
  expect(plain.written.stderr).toBe('error: x\n')
})

test('a command that has said everything only ends', () => {
  const terminal = fakeTerminal()
  expect(tellFailure(terminal, new Exit(130), quiet)).toBe(130)
  expect(terminal.written.stderr).toBe('')
})
