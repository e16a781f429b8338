import { randomUUID } from 'node:crypto'
import { createApi } from '../../src/api/app.ts'
import { jobFilesDialect } from '../../src/api/job-files/dialect.ts'
import type { ObservedRequest } from '../../src/api/observe.ts'
import { listen, type ListenOptions } from '../../src/api/server.ts'
import { createFileDesk, type AskedFileDesk } from '../../src/environment/file-desk.ts'

export interface JobFilesServer extends AsyncDisposable {
  readonly desk: AskedFileDesk
  readonly url: string
  readonly observed: ObservedRequest[]
}

/** A server where jobs fetch their files, and nothing else, on the loopback address. */
export async function startJobFilesServer({
  port = 0,
  tls,
  desk = createFileDesk(),
}: Partial<Pick<ListenOptions, 'port' | 'tls'>> & {
  readonly desk?: AskedFileDesk
} = {}): Promise<JobFilesServer> {
  const observed: ObservedRequest[] = []
  const never = () => Promise.reject(new Error('Nothing of this is asked for here.'))
  const api = createApi({
    dialects: [jobFilesDialect(desk)],
    authentication: { identify: never },
    uploads: { receive: never, receiveFile: never, sweep: never, underWay: 0 },
    limits: { uploadBytes: 0, textBytes: 0, idleMs: 10_000 },
    stopping: new AbortController().signal,
    observe: (request) => observed.push(request),
    report: () => undefined,
    newRequestId: randomUUID,
    elapsedMs: () => performance.now(),
  })
  const server = await listen(api, {
    host: '127.0.0.1',
    port,
    ...(tls !== undefined && { tls }),
    maxConnections: 100,
    idleMs: 60_000,
    report: () => undefined,
  })
  return { desk, url: server.url, observed, [Symbol.asyncDispose]: () => server.close(0) }
}
