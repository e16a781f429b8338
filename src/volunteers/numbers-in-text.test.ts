import { expect, test } from 'vitest'
import { createNumberReader, type TextWithNumbers } from './numbers-in-text.ts'

function read(text: string | Buffer, pieceBytes = 1e6): TextWithNumbers {
  const bytes = Buffer.from(text)
  const reader = createNumberReader({ left: 1000 })
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.update(bytes.subarray(at, at + pieceBytes))
  return reader.end()
}

test.each([
  ['energy = -1.25e-3 J', [-0.00125]],
  ['{"a":1.5,"b":[2,3]}', [1.5, 2, 3]],
  ['x,y\n0.1,.2\n3.,4', [0.1, 0.2, 3, 4]],
  ['1.0D+02', [100]],
  ['file10 v1.2.3 x_1 0x1F 3rd', []],
  ['nothing', []],
])('finds the numbers of %j', (text, numbers) => {
  expect(read(text).numbers).toEqual(numbers)
})

test('what remains is the same whatever the numbers and the widths of columns are', () => {
  const { digest } = read('t  9.99\tJ\n')
  expect(read('t 10.01 J\n').digest).toBe(digest)
  expect(read('t 10.01 K\n').digest).not.toBe(digest)
  expect(read('t file10 J\n').digest).not.toBe(digest)
})

test('says the same however the text was cut', () => {
  const text = `a 12.5e3  -7\n${'w'.repeat(5000)}1.5 2.5 ${'9'.repeat(5000)} 4\t\t5`
  const expected = read(text)
  expect(expected.numbers).toEqual([12500, -7, 2.5, 4, 5])
  for (const pieceBytes of [1, 2, 3, 7, 100, 4097]) expect(read(text, pieceBytes)).toEqual(expected)
})

test('leaves what is no text as it is', () => {
  const { digest, numbers } = read(Buffer.from('1 2 3\0'))
  expect(numbers).toEqual([])
  expect(read(Buffer.from('1 2 4\0')).digest).not.toBe(digest)
})

test('refuses more numbers than it may keep', () => {
  expect(() => read('1 '.repeat(1001))).toThrow('too many numbers')
})
