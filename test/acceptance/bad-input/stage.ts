import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { dirname, join } from 'node:path'
import { connect } from 'node:tls'
import { problemSchema, type ProblemBody } from '../../../src/api/problem-answer.ts'
import { createRestClient, type RestClient } from '../../helpers/rest-client.ts'
import { password, startTestServer, type TestServer } from '../../helpers/running-server.ts'

/** A request, down to what is written of it. */
export interface Sent {
  readonly method?: string
  /** With its query, as it goes over the wire. */
  readonly target: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: Buffer | string
}

export interface Received {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** One server that all rows are sent to, and a directory beside its data directory that nobody may touch. */
export interface Stage extends AsyncDisposable {
  readonly server: TestServer
  readonly client: RestClient
  readonly token: string
  /** Holds `secret.txt`. */
  readonly outside: string
  /** What nobody may ever get to read. */
  readonly secret: string
  send(sent: Sent): Promise<Received>
  /** Writes these bytes to a new connection and gives what comes back until the server closes it or an answer is whole. */
  sendRaw(pieces: readonly (string | Buffer)[]): Promise<string>
  /** Names of all that lies in the data directory, and names and digests of all that lies beside it. */
  listEverything(): Promise<string[]>
}

export async function openStage(flags: Readonly<Record<string, unknown>>): Promise<Stage> {
  const server = await startTestServer({ requestRate: '0', ...flags })
  const ca = await readFile(join(server.dataDirectory, 'tls', 'cert.pem'), 'utf8')
  const client = await createRestClient(server)
  const outside = join(dirname(server.dataDirectory), 'outside')
  const secret = 'never-to-be-read-by-anybody'
  await mkdir(outside)
  await writeFile(join(outside, 'secret.txt'), secret)
  const { hostname: host, port } = new URL(server.url)
  return {
    server,
    client,
    token: await client.requestToken(password),
    outside,
    secret,
    send: ({ method = 'POST', target, headers = {}, body }) => {
      const { promise, resolve, reject } = Promise.withResolvers<Received>()
      const sent = request({ host, port, ca, agent: false, method, path: target, headers }, (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('error', reject)
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(chunks),
          }),
        )
      })
      sent.on('error', reject)
      sent.end(body)
      return promise
    },
    sendRaw: (pieces) => {
      const { promise, resolve } = Promise.withResolvers<string>()
      const socket = connect({ host, port: Number(port), ca })
      let text = ''
      const isWhole = () => {
        const end = text.indexOf('\r\n\r\n')
        const length = /^content-length: (\d+)\r$/im.exec(text.slice(0, end + 2))?.[1]
        return end > 0 && length !== undefined && Buffer.byteLength(text.slice(end + 4)) >= Number(length)
      }
      socket.setEncoding('utf8')
      socket.on('error', () => undefined)
      socket.on('close', () => resolve(text))
      socket.on('data', (piece: string) => {
        text += piece
        if (isWhole()) socket.destroy()
      })
      for (const piece of pieces) socket.write(piece)
      return promise
    },
    async listEverything() {
      const inside = await listTree(server.dataDirectory)
      const beside = await readdir(outside, { recursive: true })
      const digests = await Promise.all(
        beside.map(async (name) =>
          createHash('sha256')
            .update(await readFile(join(outside, name)))
            .digest('hex'),
        ),
      )
      const around = await readdir(dirname(server.dataDirectory))
      return [
        ...inside.sort(),
        ...beside.map((name, at) => `outside/${name} ${digests[at]}`),
        ...around.sort(),
      ]
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** The problem that an answer tells. Throws when it is none, or tells something of the server's inside. */
export function readProblem(stage: Stage, { body }: Pick<Received, 'body'>): ProblemBody {
  // One row sends this name itself.
  const text = body.toString().replaceAll(`${stage.outside}/evil`, '')
  for (const told of [
    dirname(stage.server.dataDirectory),
    process.cwd(),
    stage.secret,
    'node_modules',
    'node:internal',
    'file://',
  ])
    if (text.includes(told)) throw new Error(`The answer tells ${told}: ${text}`)
  return problemSchema.strict().parse(JSON.parse(text))
}

/** A form with one work directory, and its boundary. */
export function packForm(
  archive: Buffer,
  fields: Readonly<Record<string, string>> = {},
): Omit<Sent, 'target'> {
  const boundary = 'molehill-test-boundary'
  const head = (rest: string) =>
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${rest}\r\n\r\n`)
  const body = Buffer.concat([
    ...Object.entries(fields).flatMap(([name, value]) => [
      head(`name="${name}"`),
      Buffer.from(`${value}\r\n`),
    ]),
    head('name="workDirectory"; filename="work.tgz"'),
    archive,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
  return { body, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } }
}

/** Paths of all below a directory. Links are told, not followed, which the recursive readdir would do. */
async function listTree(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  const below = await Promise.all(
    entries.map(async (entry) => {
      const inner = entry.isDirectory() ? await listTree(join(directory, entry.name)) : []
      return [entry.name, ...inner.map((name) => join(entry.name, name))]
    }),
  )
  return below.flat()
}
