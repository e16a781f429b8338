/**
 * As many clients as wished ask for a state at once, each on a connection of its own, and again where the server says
 * so: `node states.ts URL ID COUNT`, the token as its input. A process of its own, so that nobody else waits for it. Tells
 * what became of them as one line of JSON.
 */
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { describeError } from './others.ts'

const [url = '', id = '', count = ''] = process.argv.slice(2)
const token = await text(process.stdin)
const longestMs = 120_000
let putOff = 0

async function ask(): Promise<string> {
  for (let isFirst = true; ; isFirst = false) {
    const answer = await fetch(`${url}/state`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, connection: 'close' },
      body: new URLSearchParams({ id }),
      signal: AbortSignal.timeout(longestMs),
    })
    await answer.arrayBuffer()
    if (answer.status !== 503) return String(answer.status)
    if (isFirst) putOff += 1
    await delay(1000 * Number(answer.headers.get('retry-after') ?? '1'))
  }
}

const ends = await Promise.all(Array.from({ length: Number(count) }, () => ask().catch(describeError)))
const bad = ends.filter((end) => end !== '200')
console.log(JSON.stringify({ putOff, bad: bad.length, first: bad[0] }))
