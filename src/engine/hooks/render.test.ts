import { describe, expect, it } from 'vitest'
import { csvRows } from './csv.ts'
import { HookError, renderHook } from './render.ts'

describe('a CSV row', () => {
  it('quotes what needs it and writes an array as one cell', () => {
    expect(csvRows([1, 'a,b', 'say "x"', 'two\nlines', true, [1, 2]], 'cell')).toBe(
      '1,"a,b","say ""x""","two\nlines",true,"[1,2]"\n',
    )
  })

  it('becomes a row an element where asked, repeating single values', () => {
    expect(csvRows([[1, 2], 'x', [3, 4]], 'rows')).toBe('1,x,3\n2,x,4\n')
    expect(csvRows([1, 2], 'rows')).toBe('1,2\n')
    expect(csvRows([[], 'x'], 'rows')).toBe('')
  })

  it('shows NaN and the infinities by name', () => {
    expect(csvRows([NaN, -Infinity], 'cell')).toBe('NaN,-Infinity\n')
  })
})

describe('a hook', () => {
  const values = ['x', 'f']
  const context = { x: 1, f: 'work/data/a.txt' }

  it('shows files as a reader of the work directory knows them', () => {
    expect(renderHook({ kind: 'display-values', values }, context, undefined)).toEqual({
      kind: 'display',
      text: 'x = 1, f = data/a.txt\n',
    })
    expect(
      renderHook({ kind: 'json-lines', path: 'p', values, append: false }, context, undefined),
    ).toMatchObject({
      text: '{"x":1,"f":"data/a.txt"}\n',
    })
  })

  it('displays the text that a function made', () => {
    expect(renderHook({ kind: 'display-function', function: 'f', values }, context, 'text')).toEqual({
      kind: 'display',
      text: 'text\n',
    })
  })

  it('does not copy out of the work directory, whatever the values', () => {
    const to = { texts: ['', ''], values: ['x'] }
    const copy = (x: string) =>
      renderHook({ kind: 'copy-file', value: 'f', to }, { ...context, x }, undefined)
    expect(copy('plots/1.svg')).toEqual({ kind: 'copy', path: 'plots/1.svg', from: 'work/data/a.txt' })
    expect(() => copy('../x')).toThrow(HookError)
    expect(() => copy('/etc/x')).toThrow(HookError)
  })
})
