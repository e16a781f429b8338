import { expect, test } from 'vitest'
import { Problem } from '../problem.ts'
import { createLog, type LogOptions } from './log.ts'
import { redactUrl } from './redact.ts'

function start(options: Partial<LogOptions> = {}) {
  const lines: string[] = []
  const log = createLog({
    level: 'info',
    format: 'json',
    isTerminal: false,
    now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    destination: { write: (line) => void lines.push(line) },
    ...options,
  })
  return { log, lines, first: (): unknown => JSON.parse(lines[0] ?? '') }
}

test('a line is JSON with ISO time and the name of its level', () => {
  const { log, lines, first } = start()
  log.warn({ executionId: 'e1' }, 'something went %s', 'wrong')
  expect(lines).toHaveLength(1)
  expect(lines[0]?.endsWith('\n')).toBe(true)
  expect(first()).toEqual({
    level: 'warn',
    time: '2026-01-02T03:04:05.006Z',
    executionId: 'e1',
    msg: 'something went wrong',
  })
})

test('only messages of the level and above are written', () => {
  const { log, lines } = start({ level: 'error' })
  log.warn('no')
  log.error('yes')
  expect(lines).toHaveLength(1)
})

test('no secret is written, however deep it lies', () => {
  const secret = {
    token: 'sesame',
    password: 'sesame',
    authorization: 'sesame',
    cookie: 'sesame',
    kept: 'shown',
  }
  const { log, lines } = start()
  log.info(secret)
  log.info({ request: secret })
  log.info({ request: { headers: { ...secret, Authorization: 'sesame', 'set-cookie': 'sesame' } } })
  log.info({ a: { b: { c: secret } } })
  log.info({ list: [{ password: 'sesame' }] })
  log.child({ token: 'sesame' }).info('a child')
  log.error(Object.assign(new Error('no answer'), { request: { headers: secret } }))
  log.info({ url: new URL('https://host/x?token=sesame') })
  expect(lines).toHaveLength(8)
  expect(lines.join('')).not.toContain('sesame')
  expect(lines.filter((line) => line.includes('shown'))).toHaveLength(5)
})

test('what goes round in circles or very deep does no harm', () => {
  const { log, lines } = start()
  const circle: Record<string, unknown> = { password: 'sesame' }
  circle.self = circle
  log.info({ circle }, 'still here')
  expect(lines.join('')).toContain('still here')
  expect(lines.join('')).not.toContain('sesame')
})

test('an address is written without its secrets', () => {
  const { log, first } = start()
  log.info({ url: '/state?token=sesame&id=5' })
  expect(first()).toMatchObject({ url: '/state?token=[redacted]&id=5' })
})

test('an error keeps its code, hint and causes', () => {
  const { log, first } = start()
  const problem = new Problem('disk-full', 'The disk is full.', {
    hint: 'Free space.',
    cause: new Error('ENOSPC'),
  })
  log.error({ err: problem }, 'a request failed')
  expect(first()).toMatchObject({
    msg: 'a request failed',
    err: { type: 'Problem', code: 'disk-full', hint: 'Free space.', message: 'The disk is full.: ENOSPC' },
  })
})

test.each([
  ['auto', true, true],
  ['auto', false, false],
  ['json', true, false],
  ['pretty', false, true],
] as const)('format %s with a terminal %s is for people: %s', (format, isTerminal, isForPeople) => {
  const { log, lines } = start({ format, isTerminal, colors: false })
  log.info({ password: 'sesame' }, 'hello')
  expect(lines.join('').startsWith('{')).toBe(!isForPeople)
  expect(lines.join('')).toContain('hello')
  expect(lines.join('')).not.toContain('sesame')
  expect(lines.join('').includes('INFO')).toBe(isForPeople)
})

test.each([
  ['/state?token=sesame&id=5', '/state?token=[redacted]&id=5'],
  ['/token?password=sesame', '/token?password=[redacted]'],
  ['https://host:1/x?a=1&TOKEN=sesame', 'https://host:1/x?a=1&TOKEN=[redacted]'],
  ['/x?%74oken=sesame', '/x?%74oken=[redacted]'],
  ['/x?+token=sesame', '/x?+token=[redacted]'],
  ['/x?token=ses=ame&token=sesame', '/x?token=[redacted]&token=[redacted]'],
  ['/x?a?token=1&password=sesame', '/x?a?token=1&password=[redacted]'],
  ['https://ada:sesame@host/x', 'https://[redacted]@host/x'],
  ['/x?token', '/x?token'],
  ['/x?tokens=5&a=%zz', '/x?tokens=5&a=%zz'],
  ['/x', '/x'],
  ['', ''],
])('the address %s is told as %s', (url, told) => {
  expect(redactUrl(url)).toBe(told)
})
