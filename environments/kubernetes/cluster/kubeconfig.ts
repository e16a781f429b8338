import { dirname, isAbsolute, join } from 'node:path'
import { load } from 'js-yaml'
import { z } from 'zod'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import type { Host } from '../../../src/environment/host.ts'
import { httpsAddress, readText, tokenIn, type Access, type TlsFacts } from './access.ts'
import { runCredentialProgram, type CredentialProgram } from './credential-program.ts'

const text = z.string().min(1)
/** A list of kubeconfig, by the names of its entries. */
const named = <Shape extends z.ZodType>(key: string, shape: Shape) =>
  z
    .array(z.looseObject({ name: text, [key]: shape }))
    .nullish()
    .transform(
      (list) =>
        new Map<string, z.output<Shape>>(
          (list ?? []).map((each) => [String(each['name']), each[key] as z.output<Shape>]),
        ),
    )

const clusterShape = z.looseObject({
  server: text,
  'certificate-authority': text.optional(),
  'certificate-authority-data': text.optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'tls-server-name': text.optional(),
  'proxy-url': text.optional(),
})
const userShape = z
  .looseObject({
    token: text.optional(),
    tokenFile: text.optional(),
    'client-certificate': text.optional(),
    'client-certificate-data': text.optional(),
    'client-key': text.optional(),
    'client-key-data': text.optional(),
    username: text.optional(),
    password: z.string().optional(),
    as: text.optional(),
    'as-groups': z.array(text).optional(),
    exec: z
      .looseObject({
        apiVersion: text.optional(),
        command: text,
        args: z.array(z.string()).nullish(),
        env: z.array(z.looseObject({ name: text, value: z.string() })).nullish(),
      })
      .nullish(),
    'auth-provider': z.looseObject({ name: z.string().optional() }).nullish(),
  })
  .nullish()
const contextShape = z.looseObject({ cluster: text, user: text.optional(), namespace: text.optional() })

/** The parts of a kubeconfig that matter here: see `kubectl config` and the type Config of client.authentication. */
const kubeconfigShape = z.looseObject({
  clusters: named('cluster', clusterShape),
  users: named('user', userShape),
  contexts: named('context', contextShape),
  'current-context': z.string().optional(),
})
type Cluster = z.output<typeof clusterShape>
type User = NonNullable<z.output<typeof userShape>>

export interface KubeconfigQuestion {
  readonly file: { readonly path: string } | { readonly text: string }
  readonly context?: string | undefined
  readonly programs?: Host | undefined
  readonly allowInsecureTls?: boolean | undefined
  readonly signal: AbortSignal
  readonly now: () => number
}

/** What a kubeconfig says about one context. Throws EnvironmentError with what to mend in it. */
export async function readKubeconfig(question: KubeconfigQuestion): Promise<Access> {
  const { file } = question
  const told = 'path' in file ? file.path : 'The kubeconfig'
  const config = parsed('path' in file ? await readText(file.path, 'the kubeconfig') : file.text, told)
  const contextName = question.context ?? config['current-context']
  const context = chosen(config.contexts, contextName, `${told} has no context`, 'Choose one of')
  const cluster = chosen(config.clusters, context.cluster, `${told} has no cluster`, 'It has')
  const user =
    context.user === undefined
      ? undefined
      : chosen(config.users, context.user, `${told} has no user`, 'It has')
  const reader = fileReader(file, told)
  const whose = `the cluster ${context.cluster} in ${told}`
  refuseProxy(cluster, whose)
  const server = httpsAddress(cluster.server, whose)
  const tls = await tlsOf(cluster, whose, question, reader)
  const rights = await rightsOf(user ?? {}, `the user ${context.user ?? ''} in ${told}`, question, reader)
  return {
    server,
    ...(context.namespace !== undefined && { namespace: context.namespace }),
    ...rights,
    tls: { ...tls, ...rights.tls },
  }
}

function parsed(content: string, told: string): z.output<typeof kubeconfigShape> {
  let tree: unknown
  try {
    tree = load(content)
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error)
    throw new EnvironmentError(`${told} is no YAML: ${why}.`)
  }
  const read = kubeconfigShape.safeParse(tree)
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new EnvironmentError(
    `${told} is no kubeconfig: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not understood'}.`,
  )
}

function chosen<T>(
  things: ReadonlyMap<string, T>,
  name: string | undefined,
  lacking: string,
  offer: string,
): T {
  if (name !== undefined && things.has(name)) return things.get(name) as T
  const names = [...things.keys()]
  throw new EnvironmentError(
    `${lacking} ${name === undefined || name === '' ? 'chosen' : JSON.stringify(name)}. ` +
      (names.length === 0 ? 'It has none at all.' : `${offer}: ${names.slice(0, 20).join(', ')}.`),
  )
}

function refuseProxy(cluster: Cluster, whose: string): void {
  if (cluster['proxy-url'] !== undefined)
    throw new EnvironmentError(
      `A proxy-url stands at ${whose}: proxies are not used. Give an address without.`,
    )
}

type FileReader = (path: string, what: string) => Promise<string>

/** Files are meant as seen from the kubeconfig that names them. */
function fileReader(file: KubeconfigQuestion['file'], told: string): FileReader {
  return async (path, what) => {
    if (isAbsolute(path)) return readText(path, what)
    if ('path' in file) return readText(join(dirname(file.path), path), what)
    throw new EnvironmentError(
      `${told} names the file ${path}, which is relative to nothing. Put the data in its place: ` +
        '`kubectl config view --flatten --minify` does so.',
    )
  }
}

/** Base64 in the file goes before a path, as with kubectl. */
async function dataOrFile(
  data: string | undefined,
  path: string | undefined,
  what: string,
  read: FileReader,
): Promise<string | undefined> {
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8')
  return path === undefined ? undefined : read(path, what)
}

async function tlsOf(
  cluster: Cluster,
  whose: string,
  { allowInsecureTls }: KubeconfigQuestion,
  read: FileReader,
): Promise<TlsFacts> {
  const isInsecure = cluster['insecure-skip-tls-verify'] === true
  if (isInsecure && allowInsecureTls !== true)
    throw new EnvironmentError(
      `insecure-skip-tls-verify stands at ${whose}: whoever is between could take the credentials. ` +
        'Put certificate-authority-data there, or allow it in the options of the environment.',
    )
  const ca = await dataOrFile(
    cluster['certificate-authority-data'],
    cluster['certificate-authority'],
    `the certificate authority of ${whose}`,
    read,
  )
  return {
    ...(ca !== undefined && { ca }),
    ...(cluster['tls-server-name'] !== undefined && { servername: cluster['tls-server-name'] }),
    ...(isInsecure && { rejectUnauthorized: false as const }),
  }
}

type Rights = Pick<Access, 'tls' | 'headers' | 'secrets' | 'staleAtMs'>

async function rightsOf(
  user: User,
  whose: string,
  question: KubeconfigQuestion,
  read: FileReader,
): Promise<Rights> {
  if (user['auth-provider'] !== undefined && user['auth-provider'] !== null)
    throw new EnvironmentError(
      `An auth-provider (${user['auth-provider'].name ?? 'without a name'}) stands at ${whose}; Kubernetes has none since 1.26. ` +
        'Use a token, a client certificate or exec.',
    )
  const cert = await dataOrFile(
    user['client-certificate-data'],
    user['client-certificate'],
    `the certificate of ${whose}`,
    read,
  )
  const key = await dataOrFile(user['client-key-data'], user['client-key'], `the key of ${whose}`, read)
  if ((cert === undefined) !== (key === undefined))
    throw new EnvironmentError(`Only one of client-certificate and client-key stands at ${whose}.`)
  const impersonation = impersonationOf(user)
  const own = {
    tls: cert !== undefined && key !== undefined ? { cert, key } : {},
    headers: impersonation,
    secrets: [],
  }
  const token =
    user.token ??
    (user.tokenFile === undefined ? undefined : await read(user.tokenFile, `the token of ${whose}`))
  if (token !== undefined)
    return withAuthorization(own, `Bearer ${tokenIn(token, whose)}`, tokenIn(token, whose))
  if (user.username !== undefined) {
    const pair = Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')
    return withAuthorization(own, `Basic ${pair}`, user.password ?? '', pair)
  }
  if (user.exec !== undefined && user.exec !== null) return withProgram(own, user.exec, whose, question)
  return own
}

function withAuthorization(rights: Rights, authorization: string, ...secrets: readonly string[]): Rights {
  return { ...rights, headers: { ...rights.headers, authorization }, secrets }
}

function impersonationOf(user: User): Record<string, string> {
  // Several groups would need a header that repeats.
  const [group, ...more] = user['as-groups'] ?? []
  if (more.length > 0)
    throw new EnvironmentError(
      'A user of the kubeconfig has more than one entry in as-groups; one can be used.',
    )
  return {
    ...(user.as !== undefined && { 'impersonate-user': user.as }),
    ...(group !== undefined && { 'impersonate-group': group }),
  }
}

async function withProgram(
  rights: Rights,
  exec: CredentialProgram,
  whose: string,
  { file, programs, signal, now }: KubeconfigQuestion,
): Promise<Rights> {
  if (programs === undefined)
    throw new EnvironmentError(
      `The program ${exec.command} (exec) stands at ${whose}: this server runs none unless that is allowed. ` +
        'Use the token of a service account, or allow it in the options of the environment.',
    )
  const directory = 'path' in file ? dirname(file.path) : undefined
  const given = await runCredentialProgram(exec, { host: programs, directory, whose, signal, now })
  const { tls, token, staleAtMs } = given
  return {
    ...(token === undefined ? rights : withAuthorization(rights, `Bearer ${token}`, token)),
    tls: { ...rights.tls, ...tls },
    ...(staleAtMs !== undefined && { staleAtMs }),
  }
}
