import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LogLines } from './log-lines.ts'

const text = (chunk: Buffer) => chunk.toString('utf8')
const take = (lines: LogLines, chunk: string) => text(lines.take(Buffer.from(chunk)))

describe('the lines of a log with times', () => {
  it('are given without the times, as soon as they are whole', () => {
    const lines = new LogLines()
    expect(take(lines, '2026-01-01T00:00:00.1Z one\n2026-01-01T00:00:00.')).toBe('one\n')
    expect(take(lines, '2Z tw')).toBe('')
    expect(take(lines, 'o\n2026-01-01T00:00:00.3Z \n')).toBe('two\n\n')
    expect(lines.sinceTime).toBe('2026-01-01T00:00:00Z')
    take(lines, '2026-01-01T02:00:01.5+02:00 no end')
    expect(text(lines.end())).toBe('no end')
    expect(lines.sinceTime).toBe('2026-01-01T00:00:01Z')
  })

  it('that go on without a time are kept or left out with the line before', () => {
    const lines = new LogLines()
    const log = '2026-01-01T00:00:00.1Z one\nmore of it\n'
    expect(take(lines, log)).toBe('one\nmore of it\n')
    lines.again()
    expect(take(lines, log)).toBe('')
  })

  it('that are long come without the times of their pieces', () => {
    const time = '2026-01-01T00:00:00.1Z '
    const [piece, rest] = ['x'.repeat(16_384), `y ${time} y`]
    expect(take(new LogLines(), `${time}${piece}${time}${piece}${time}${rest}\n`)).toBe(
      `${piece}${piece}${rest}\n`,
    )
    expect(take(new LogLines(), `${time}${piece}${piece}${rest}\n`)).toBe(`${piece}${piece}${rest}\n`)
  })

  it('come once and whole, wherever the log is cut and however many have the same time', () => {
    const logs = fc.array(fc.record({ gapNs: fc.constantFrom(0, 1, 400_000_000), words: fc.string() }), {
      maxLength: 30,
    })
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 })
    fc.assert(
      fc.property(logs, cuts, (entries, cuts) => {
        let ns = 0
        const log = entries.map(({ gapNs, words }) => {
          ns += gapNs
          const fraction = String(ns % 1e9)
            .padStart(9, '0')
            .replace(/0+$/, '')
          const second = new Date(Math.floor(ns / 1e9) * 1000).toISOString().slice(0, 19)
          const time = `${second}${fraction === '' ? '' : `.${fraction}`}Z`
          return { second: `${second}Z`, line: `${time} ${words.replaceAll('\n', ' ')}\n` }
        })
        const since = (time: string | undefined) =>
          Buffer.from(
            log
              .filter(({ second }) => time === undefined || second >= time)
              .map(({ line }) => line)
              .join(''),
          )
        const lines = new LogLines()
        let told = ''
        for (const cut of [...cuts, 1]) {
          lines.again()
          const piece = since(lines.sinceTime)
          const end = Math.floor(piece.length * cut)
          const middle = Math.floor(end / 2)
          told += text(lines.take(piece.subarray(0, middle))) + text(lines.take(piece.subarray(middle, end)))
        }
        expect(told).toBe(log.map(({ line }) => line.slice(line.indexOf(' ') + 1)).join(''))
      }),
    )
  })
})
