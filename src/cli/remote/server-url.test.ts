import { expect, test } from 'vitest'
import { nameServer, parseServerUrl } from './server-url.ts'

const parse = (text: string, insecure = false) => parseServerUrl(text, { insecure }).href

test.each([
  ['localhost', 'https://localhost:8443/'],
  ['hub:9000', 'https://hub:9000/'],
  ['https://hub', 'https://hub/'],
  ['https://hub:8443/', 'https://hub:8443/'],
  ['https://hub/molehill', 'https://hub/molehill/'],
  ['http://127.0.0.1:8080', 'http://127.0.0.1:8080/'],
  ['http://[::1]:8080', 'http://[::1]:8080/'],
])('%s means %s', (text, href) => {
  expect(parse(text)).toBe(href)
})

test.each(['', 'ftp://hub', 'https://', 'https://me:secret@hub', 'https://hub?token=1', 'https://hub#x'])(
  '%j is refused',
  (text) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'parameter-invalid' }))
  },
)

test('plain HTTP to another computer must be allowed', () => {
  expect(() => parse('http://hub:8080')).toThrow(/could read the password/)
  expect(parse('http://hub:8080', true)).toBe('http://hub:8080/')
})

test('no message repeats a password', () => {
  expect(() => parse('https://me:secret@hub')).toThrow(/^(?!.*secret)/)
})

test('a server is named without the last slash', () => {
  expect(nameServer(new URL('https://hub:8443/'))).toBe('https://hub:8443')
})
