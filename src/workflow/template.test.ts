import { expect, test } from 'vitest'
import { shell, text } from './template.ts'
import { number } from './value.ts'

const x = number('x')

test('a shell command keeps its backslashes', () => {
  const { template } = shell`tr ' ' '\n' | sed 's/\(a*\)\.b/\1/' > ${x}.txt`
  expect(template.texts).toEqual([String.raw`tr ' ' '\n' | sed 's/\(a*\)\.b/\1/' > `, '.txt'])
})

test('a shell command may hold backquotes and braces of its own', () => {
  const { template } = shell`echo \`date\` \${HOME} ${x}`
  expect(template.texts).toEqual(['echo `date` ${HOME} ', ''])
})

test('escapes in a text are those of JavaScript', () => {
  expect(text`a\tb${x}\n`.texts).toEqual(['a\tb', '\n'])
})

test('an escape that JavaScript does not know is refused in a text', () => {
  expect(() => text`\1 ${x}`).toThrow('write \\\\ for a backslash')
})
