import type { Readable } from 'node:stream'
import type { z } from 'zod'
import type { Problem, ProblemCode } from '../problem.ts'
import type { KeptOfUsers } from '../users/contract.ts'
import type { Principal } from './access/principal.ts'

/** One route: what it takes and answers. Serving and the OpenAPI description both derive from it. */
export type Route = JsonRoute | RawRoute

interface RouteBase<Parameters extends z.ZodObject> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below the dialect's mount. May have placeholders of Hono, as in `/jobs/:id`: see `Call.path`. */
  readonly path: `/${string}` | ''
  readonly summary: string
  /** Whether it counts requests itself, by who they turn out to be of: the server does not count its addresses. */
  readonly limitsItself?: boolean
  /** `token`: only for who holds a valid token. */
  readonly access: 'open' | 'token'
  /** Texts by name, from query string, urlencoded body or multipart text. Names not listed are ignored. */
  readonly parameters: Parameters
  /**
   * `form`, which it is without: the body is a form, of parameters and files. `text`: it goes to the handler as it is
   * (`Call.text`), whatever its media type says; parameters are then in the query string only. `either`: multipart is
   * a form, anything else text. `stream`: the handler reads it (`Call.stream`), and sees to its length itself.
   */
  readonly body?: 'form' | 'text' | 'either' | 'stream'
  /** Most bytes of a body that is text, or of the texts of a form; else what the server takes of any text. */
  readonly bodyBytesAtMost?: number
  /** What is in a body that is text, where that is JSON: for the description. The handler checks it. */
  readonly bodySchema?: z.ZodType
  /** What the audit log calls this; absent where nothing is done that it should tell. */
  readonly audit?: AuditAction
  /** Name of the multipart file that must come along: a work directory as tar.gz. */
  readonly archive?: string
  /** Asked before an archive is read, of who sends it. Throws Problem. */
  readonly admitArchive?: (principal: Principal) => void
  /** The parameter that may come instead of the archive. */
  readonly insteadOfArchive?: string
  /** Other multipart files that may come along have names that begin with this. */
  readonly filePrefix?: string
  /** Name of one multipart file that may come along as it is; among `Call.files` its field is empty. */
  readonly file?: string
  /**
   * Asked before a file that comes along is read: with the parameters that came ahead of it, where the credentials
   * stand in these, and with what the client calls the file. Throws Problem.
   */
  readonly admitFile?: (sent: UnknownRequest, file: Pick<ReceivedFile, 'field' | 'fileName'>) => void
  /** Largest of each such file; else what the server takes of any upload. */
  readonly fileBytesAtMost?: number
  /** How problems of this route are told, where that is not as everywhere in its protocol. */
  readonly tellProblem?: TellProblem
  /** What can go wrong here besides what can go wrong everywhere. */
  readonly problems: readonly ProblemCode[]
}

export type AuditAction =
  | 'login'
  | 'start'
  | 'cancel'
  | 'remove'
  | 'download'
  | 'environment-add'
  | 'environment-check'
  | 'environment-remove'
  | 'catalog-add'
  | 'catalog-remove'
  | 'user-add'
  | 'user-change'
  | 'user-remove'
  | 'key-add'
  | 'key-remove'
  | 'upload'
  | 'delete'

/** A route that answers with JSON. */
export interface JsonRoute<
  Parameters extends z.ZodObject = z.ZodObject,
  Answer extends z.ZodType = z.ZodType,
> extends RouteBase<Parameters> {
  readonly kind: 'json'
  readonly answer: { readonly status: 200 | 201 | 202; readonly description: string; readonly schema: Answer }
  handle(call: Call<z.output<Parameters>>): z.input<Answer> | Promise<z.input<Answer>>
}

/** A route that answers with bytes, text or nothing. */
export interface RawRoute<Parameters extends z.ZodObject = z.ZodObject> extends RouteBase<Parameters> {
  readonly kind: 'raw'
  readonly answer: {
    readonly status: 200 | 201 | 202 | 302
    readonly description: string
    /** Absent where the body is empty. */
    readonly contentType?: string
  }
  handle(call: Call<z.output<Parameters>>): Response | Promise<Response>
}

/** One request to a route, checked. */
export interface Call<Parameters = unknown> {
  readonly parameters: Parameters
  /** What stands for the placeholders of the route's path, decoded. Anything may be in it. */
  readonly path: Readonly<Record<string, string>>
  /** The body, at routes that take text; empty elsewhere. */
  readonly text: string
  /** The same as it came. */
  readonly bytes: Uint8Array
  /** The body, at routes that read it themselves and where there is one. What is not read of it is thrown away. */
  readonly stream: Readable | undefined
  /** Who sent it. Nobody at open routes. */
  readonly principal: Principal
  /** The unpacked work directory, at routes with `archive`. */
  readonly archive: ReceivedArchive | undefined
  /** Files that came along, in the order in which they came, at routes with `filePrefix` or `file`. */
  readonly files: readonly ReceivedFile[]
  readonly header: (name: string) => string | undefined
  /** Tells log and audit what only the handler knows. */
  readonly note: (known: {
    readonly executionId?: string
    readonly principal?: Principal
    /** What is acted on, where that is no execution as a whole. */
    readonly object?: string
    /** What the audit log calls it, where that is not the same for every request of the route. */
    readonly audit?: AuditAction
    /** What went wrong, where the protocol answers that as well with a status of success. */
    readonly code?: ProblemCode
  }) => void
  /** Put on the answer whatever it is, a problem too. */
  readonly answerHeaders: Headers
  /** Where the request comes from: an IP address, or empty when there is no connection. */
  readonly address: string
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal
  /** Aborted when the server begins to stop: for answers that would not end by themselves. */
  readonly stopping: AbortSignal
  /**
   * Cuts the connection, so that an answer that has begun cannot be taken for a whole one. Says whether there was a
   * connection.
   */
  readonly breakOff: (reason: unknown) => boolean
}

/** An uploaded work directory, unpacked and checked, not yet where it belongs. */
export interface ReceivedArchive {
  /** Moves the files into an empty directory of the same file system. */
  readonly place: (directory: string) => Promise<void>
  /** SHA-256 of the archive as it came. */
  readonly digest: string
}

/** An uploaded file, on the disk but not yet where it belongs. */
export interface ReceivedFile {
  /** What follows the prefix in the name of its part; empty for the file of the route's own name. */
  readonly field: string
  /** As the client calls it: anything may stand in it. */
  readonly fileName: string
  /** Moves the file to a path of the same file system. What is there is replaced. */
  readonly place: (path: string) => Promise<void>
  /** SHA-256 of its content. */
  readonly digest: string
  readonly sizeBytes: number
}

export function jsonRoute<Parameters extends z.ZodObject, Answer extends z.ZodType>(
  route: Omit<JsonRoute<Parameters, Answer>, 'kind'>,
): Route {
  return { ...route, kind: 'json' }
}

export function rawRoute<Parameters extends z.ZodObject>(route: Omit<RawRoute<Parameters>, 'kind'>): Route {
  return { ...route, kind: 'raw' }
}

/** A published protocol. One folder under `src/api/` makes one of these; `src/main/dialects.ts` lists them. */
export interface Dialect {
  readonly name: string
  /** What all its paths begin with: empty, or as in `/caesar/api/v1.0`. */
  readonly mount: '' | `/${string}`
  readonly routes: readonly Route[]
  /**
   * Finds out who sends a request to a route that wants a token, where the protocol has a way of its own. Called before
   * the body is read. Without it, the token comes as the main API takes it. Throws Problem token-invalid.
   */
  readonly authenticate?: (request: UnknownRequest) => Promise<Principal>
  /** What it keeps of users besides their executions. */
  readonly kept?: KeptOfUsers
  /** How this protocol tells a problem. */
  readonly tellProblem: TellProblem
  /** How a problem looks, for the description of the API. A dialect that does not speak JSON has none, and is not described. */
  readonly problemSchema?: z.ZodType | undefined
}

/** A request of which nobody knows yet who sends it. */
export interface UnknownRequest {
  readonly header: (name: string) => string | undefined
  /** A parameter of the query string. */
  readonly parameter: (name: string) => string | undefined
  /** As `Call.path`. */
  readonly path: Readonly<Record<string, string>>
  /** As `Call.address`. */
  readonly address: string
}

export type TellProblem = (problem: Problem, requestId: string) => Response
