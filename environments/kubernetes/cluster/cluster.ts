import type { V1Job } from '@kubernetes/client-node'
import { z } from 'zod'
import { ApiError } from './api-errors.ts'
import { collection, type Collection, type ResourcePath } from './collection.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import type { Credentials } from './credentials.ts'
import type { Wire, WireClaim, WireEvent, WireJob, WireNamespace, WirePod, WireVersion } from './wire.ts'

/** One verb on one kind of thing in the namespace, as `kubectl auth can-i` asks. */
export interface Right {
  readonly verb: string
  /** `batch`; the core group is empty. */
  readonly group: string
  readonly resource: string
  readonly subresource?: string
}

/** What is asked of a cluster, in one namespace. Every call throws ApiError, or EnvironmentError for bad credentials. */
export interface Cluster {
  readonly connection: Connection
  readonly jobs: Collection<WireJob, Wire<V1Job>>
  readonly pods: Collection<WirePod, never>
  readonly events: Pick<Collection<WireEvent, never>, 'list'>
  readonly claims: Pick<Collection<WireClaim, never>, 'find'>
  /** The one that was given, else that of the credentials, else `default`. */
  namespace(signal: AbortSignal): Promise<string>
  version(signal: AbortSignal): Promise<WireVersion>
  readNamespace(signal: AbortSignal): Promise<WireNamespace>
  /** Whether the server would let us; `reason` is often empty. */
  mayI(right: Right, signal: AbortSignal): Promise<{ readonly allowed: boolean; readonly reason: string }>
  close(): Promise<void>
}

const versionShape = z.looseObject({ gitVersion: z.string(), major: z.string(), minor: z.string() })
const reviewShape = z.looseObject({
  status: z.looseObject({ allowed: z.boolean(), reason: z.string().optional() }),
})
const namespaceShape = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  status: z.looseObject({ phase: z.string().optional() }).optional(),
})

/** A cluster that nothing has been asked yet. `close` it at the end. */
export function openCluster(
  credentials: Credentials,
  options: ConnectionOptions & { readonly namespace?: string | undefined },
): Cluster {
  const connection = new Connection(credentials, options)
  const namespace = async (signal: AbortSignal): Promise<string> =>
    options.namespace ?? (await connection.access(signal)).namespace ?? 'default'
  const inNamespace =
    (group: string, plural: string): ResourcePath =>
    async (signal) =>
      `${group}/namespaces/${encodeURIComponent(await namespace(signal))}/${plural}`

  return {
    connection,
    jobs: collection(connection, inNamespace('/apis/batch/v1', 'jobs')),
    pods: collection(connection, inNamespace('/api/v1', 'pods')),
    events: collection(connection, inNamespace('/api/v1', 'events')),
    claims: collection(connection, inNamespace('/api/v1', 'persistentvolumeclaims')),
    namespace,
    async version(signal) {
      const answer = await connection.ask({ method: 'GET', path: '/version' }, signal)
      return read(versionShape, answer, connection) as unknown as WireVersion
    },
    async readNamespace(signal) {
      const path = `/api/v1/namespaces/${encodeURIComponent(await namespace(signal))}`
      const answer = await connection.ask({ method: 'GET', path }, signal)
      return read(namespaceShape, answer, connection) as unknown as WireNamespace
    },
    async mayI(right, signal) {
      const body = {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { namespace: await namespace(signal), ...right } },
      }
      const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
      const answer = await connection.ask({ method: 'POST', path, body }, signal)
      const { status } = read(reviewShape, answer, connection)
      return { allowed: status.allowed, reason: status.reason ?? '' }
    },
    close: () => connection.close(),
  }
}

function read<Shape extends z.ZodType>(
  shape: Shape,
  answer: unknown,
  { address }: Connection,
): z.output<Shape> {
  const read = shape.safeParse(answer)
  if (read.success) return read.data
  throw new ApiError({
    status: 0,
    reason: 'Unreadable',
    message: `${address} answered what no API server answers: ${JSON.stringify(answer).slice(0, 200)}`,
  })
}
