import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const script = `
import { explore, functionTask, integer, range } from 'molehill'
const x = integer('x')
export default explore(range(x, { from: 1, to: 50 }), functionTask('f', { inputs: [x], run: () => ({}) }))
`
const work = tarGzip([{ name: 'flow.ts', content: script }])
const otherWork = tarGzip([{ name: 'flow.ts', content: `${script}\n` }])

let server: TestServer
let token: string

beforeAll(async () => {
  server = await startTestServer({ http: true })
  const answer = await fetch(`${server.url}/token`, {
    method: 'POST',
    body: new URLSearchParams({ password }),
  })
  token = ((await answer.json()) as { token: string }).token
}, 60_000)

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

async function start(
  key: string,
  archive = work,
): Promise<{ status: number; id?: string; message?: string }> {
  const form = new FormData()
  form.set('token', token)
  form.set('script', 'flow.ts')
  form.set('workDirectory', new Blob([new Uint8Array(archive)]), 'work.tgz')
  const answer = await fetch(`${server.url}/start`, {
    method: 'POST',
    headers: { 'Idempotency-Key': key },
    body: form,
  })
  return { status: answer.status, ...((await answer.json()) as object) }
}

async function post(route: string, parameters: Record<string, string>, headers: Record<string, string> = {}) {
  const body = new URLSearchParams({ token, ...parameters })
  return fetch(`${server.url}${route}`, { method: 'POST', body, headers })
}

describe('a start with an Idempotency-Key', () => {
  it('gives the same execution however often it is sent', async () => {
    const first = await start('key-1')
    expect(first.status).toBe(200)
    expect(await start('key-1')).toEqual(first)
    const list = (await (await post('/list', {})).json()) as { id: string }[]
    expect(list.filter(({ id }) => id === first.id)).toHaveLength(1)
    expect(await start('key-2')).not.toEqual(first)
  })

  it('gives one execution when it is sent several times at once', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, async () => start('key-3')))
    const ids = new Set(answers.flatMap(({ status, id }) => (status === 200 ? [id] : [])))
    expect(ids.size).toBe(1)
    expect(answers.filter(({ status }) => status !== 200 && status !== 409)).toEqual([])
  })

  it('is refused when the key was used for something else, or is none', async () => {
    await start('key-4')
    expect(await start('key-4', otherWork)).toMatchObject({
      status: 422,
      message: 'This Idempotency-Key was used for another start.',
    })
    expect((await start('a key with spaces')).status).toBe(400)
  })

  it('starts anew when its execution has been removed', async () => {
    const { id = '' } = await start('key-5')
    await post('/remove', { id })
    const again = await start('key-5')
    expect(again.status).toBe(200)
    expect(again.id).not.toBe(id)
  })
})

describe('the events of an execution', () => {
  it('come as server-sent events, and go on after the last one that a client knows', async () => {
    const { id = '' } = await start('key-6')
    const answer = await post('/events', { id })
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const all = parseEvents(await answer.text())
    expect(all.map((event) => event.id)).toEqual(all.map((_, index) => String(index + 1)))
    expect(all[0]?.event).toBe('started')
    expect(all.at(-1)).toMatchObject({ event: 'ended', data: { state: 'finished' } })
    const rest = parseEvents(await (await post('/events', { id }, { 'Last-Event-ID': '2' })).text())
    expect(rest).toEqual(all.slice(2))
    expect(parseEvents(await (await post('/events', { id, after: '3' })).text())).toEqual(all.slice(3))
    expect((await post('/events', { id: 'unknown' })).status).toBe(417)
  })
})

function parseEvents(text: string): { id: string; event: string; data: Record<string, unknown> }[] {
  const found = text.matchAll(/^id: (\d+)\nevent: (.+)\ndata: (.+)$/gm)
  return [...found].map(([, id = '', event = '', data = '']) => ({
    id,
    event,
    data: JSON.parse(data) as Record<string, unknown>,
  }))
}
