import { spawnSync } from 'node:child_process'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { execText, quote } from './quote.ts'

/** What a program receives when bash, in this locale, reads the words: each followed by a NUL. */
function received(words: readonly string[], locale: string): readonly string[] {
  const input = `printf '%s\\0' ${words.map(quote).join(' ')}\n`
  const { stdout, status } = spawnSync('bash', ['--norc', '--noprofile', '-s'], {
    input,
    env: { PATH: process.env['PATH'], LC_ALL: locale },
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  })
  expect(status).toBe(0)
  return stdout.split('\0').slice(0, -1)
}

const word = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({
    unit: fc.constantFrom(...Array.from('\'"\\$`!*?[]{}()<>|&;#~ \t\n\r\u0001\u007f\u0080ü')),
    maxLength: 40,
  }),
)
const words = fc.array(
  word.filter((text) => !text.includes('\0') && text.isWellFormed()),
  { minLength: 1, maxLength: 200 },
)

test.each(['C', 'C.UTF-8'])('any words come through bash unchanged in the locale %s', (locale) => {
  fc.assert(
    fc.property(words, (words) => {
      expect(received(words, locale)).toEqual(words)
    }),
    { numRuns: 30 },
  )
})

test('a quoted word is plain ASCII on one line', () => {
  fc.assert(
    fc.property(words, (words) => {
      expect(words.map(quote).join(' ')).toMatch(/^[\x20-\x7e]*$/)
    }),
  )
})

test('every character by itself comes through, also long words', () => {
  const all = Array.from({ length: 0x2ff }, (_, code) => String.fromCodePoint(code + 1))
  expect(received(all, 'C.UTF-8')).toEqual(all)
  const long = 'é\n'.repeat(20_000)
  expect(received([long], 'C')).toEqual([long])
})

/** Variables of a program started from the text. */
function variablesOf(variables: Record<string, string>): readonly string[] {
  const { stdout, stderr } = spawnSync('bash', ['--norc', '--noprofile', '-s'], {
    input: `set -m\n${execText(['env', '-0'], variables)} </dev/null &\nwait -f $!\n`,
    env: { PATH: process.env['PATH'] },
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  return stdout.split('\0')
}

test('variables reach the program, whatever bash thinks of their names', () => {
  const variables = {
    PLAIN: "it's",
    'with.dot': 'a b',
    'BASH_FUNC_echo%%': '() { :; }',
    UID: 'mine',
    RANDOM: 'fixed',
    IFS: 'abc',
    LC_ALL: 'xx_YY.UTF-8',
    BASH_ENV: '/nowhere',
    '1st': 'ä\n',
  }
  expect(variablesOf(variables)).toEqual(
    expect.arrayContaining(Object.entries(variables).map(([name, value]) => `${name}=${value}`)),
  )
})
