/**
 * A client of caesar-rest, written from its README of 2020 and nothing else. The one thing that it leaves out are the
 * authentication's steps before a token is there.
 */
export interface CaesarClient {
  readonly call: (path: string, options?: CallOptions) => Promise<CaesarAnswer>
  readonly upload: (content: Uint8Array, fileName: string, tag?: string) => Promise<CaesarAnswer>
  readonly submit: (body: unknown, headers?: Readonly<Record<string, string>>) => Promise<CaesarAnswer>
  /** Asks until the state is none of those in which a job is under way. */
  readonly ended: (jobId: string) => Promise<Readonly<Record<string, unknown>>>
}

export interface CallOptions {
  readonly method?: string
  readonly body?: string | FormData | URLSearchParams
  readonly headers?: Readonly<Record<string, string>>
  readonly redirect?: 'manual'
}

export interface CaesarAnswer {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Buffer
  readonly text: string
  /** Empty where the answer is no JSON. */
  readonly json: Readonly<Record<string, unknown>>
}

const pollMs = 50
const longestMs = 90_000

/** `address` up to where the paths of the README begin, without a slash at its end. */
export function createCaesarClient(address: string, token: string | undefined): CaesarClient {
  const call = async (path: string, { headers, ...options }: CallOptions = {}): Promise<CaesarAnswer> => {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const answer = await fetch(`${address}${path}`, { ...options, headers: { ...authorization, ...headers } })
    const bytes = Buffer.from(await answer.arrayBuffer())
    const isJson = answer.headers.get('content-type')?.includes('application/json') === true
    const text = bytes.toString('utf8')
    const json = (isJson && text !== '' ? JSON.parse(text) : {}) as Record<string, unknown>
    return { status: answer.status, headers: answer.headers, bytes, text, json }
  }
  return {
    call,
    async upload(content, fileName, tag) {
      const form = new FormData()
      form.append('file', new Blob([new Uint8Array(content)], { type: 'image/fits' }), fileName)
      if (tag !== undefined) form.append('tag', tag)
      return call('/upload', { method: 'POST', body: form })
    },
    submit: async (body, headers = {}) =>
      call('/job', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    async ended(jobId) {
      const deadline = performance.now() + longestMs
      for (;;) {
        const { status, json } = await call(`/job/${jobId}/status`)
        if (status !== 200) throw new Error(`status of ${jobId}: ${status} ${JSON.stringify(json)}`)
        if (!['STARTED', 'PENDING', 'RUNNING'].includes(String(json['state']))) return json
        if (performance.now() > deadline)
          throw new Error(
            `waited ${longestMs} ms for the end of ${jobId}; last seen: ${JSON.stringify(json)}`,
          )
        await new Promise((resolve) => setTimeout(resolve, pollMs))
      }
    },
  }
}
