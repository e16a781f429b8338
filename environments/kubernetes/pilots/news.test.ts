import { once } from 'node:events'
import { expect, test } from 'vitest'
import { linesInto, readPilotNews } from './news.ts'

test('what pilots say is read, and nothing else', () => {
  expect(readPilotNews('started job-1')).toEqual({ kind: 'started', id: 'job-1' })
  expect(readPilotNews('ended job-1 exited 3')).toEqual({
    kind: 'ended',
    id: 'job-1',
    end: { kind: 'exited', exitCode: 3 },
  })
  expect(readPilotNews('ended job-1 abandoned It is over.')).toMatchObject({
    end: { kind: 'abandoned', message: 'It is over.' },
  })
  expect(readPilotNews('content 0a1b')).toEqual({ kind: 'content', hash: '0a1b' })
  expect(readPilotNews('closed')).toEqual({ kind: 'closed' })
  for (const line of ['', 'ended job-1 ', 'started ../x', 'content ../x', 'else job-1', 'open'])
    expect(readPilotNews(line)).toBeUndefined()
})

test('lines come whole, however they are cut', async () => {
  const lines: string[] = []
  const stream = linesInto((some) => void lines.push(...some))
  for (const byte of Buffer.from('started a\nended ü\nrest')) stream.write(Buffer.of(byte))
  stream.end()
  await once(stream, 'finish')
  expect(lines.filter((line) => line !== '')).toEqual(['started a', 'ended ü'])
})
