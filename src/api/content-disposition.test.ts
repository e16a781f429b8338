import { expect, test } from 'vitest'
import { attachment } from './content-disposition.ts'

test.each([
  ['result.csv', 'attachment; filename="result.csv"'],
  ['a b.csv', 'attachment; filename="a b.csv"'],
  ['a"b\\c.csv', `attachment; filename="a_b_c.csv"; filename*=UTF-8''a%22b%5Cc.csv`],
  ['é€.csv', `attachment; filename="__.csv"; filename*=UTF-8''%C3%A9%E2%82%AC.csv`],
  ["it's (1)*.csv", `attachment; filename="it's (1)*.csv"`],
  ["é'(*).csv", `attachment; filename="_'(*).csv"; filename*=UTF-8''%C3%A9%27%28%2A%29.csv`],
  [
    'a\r\nSet-Cookie: x',
    `attachment; filename="a__Set-Cookie: x"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x`,
  ],
  ['50%.csv', `attachment; filename="50_.csv"; filename*=UTF-8''50%25.csv`],
  ['\uD800.csv', `attachment; filename="_.csv"; filename*=UTF-8''%EF%BF%BD.csv`],
])('%j can be put into a header', (name, header) => {
  expect(attachment(name)).toBe(header)
  expect(() => new Headers({ 'content-disposition': header })).not.toThrow()
})
