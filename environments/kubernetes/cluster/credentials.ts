import { isIPv6 } from 'node:net'
import { isAbsolute, join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import type { Host } from '../../../src/environment/host.ts'
import { httpsAddress, readText, tokenIn, type Access } from './access.ts'
import { readKubeconfig } from './kubeconfig.ts'
import { messageOf } from '../../../src/problem.ts'

/** Where the address of a cluster and the right to use it come from. */
export type CredentialSource =
  | {
      readonly kind: 'kubeconfig'
      /** Absolute path of the file, or its text. Files that a text names have absolute paths. */
      readonly file: { readonly path: string } | { readonly text: string }
      /** The file's current one where absent. */
      readonly context?: string | undefined
      /** Runs the programs of users with `exec:`. They are refused where it is absent. */
      readonly programs?: Host | undefined
      /** Takes `insecure-skip-tls-verify`: whoever stands between may then read and change everything. */
      readonly allowInsecureTls?: boolean | undefined
    }
  | {
      /** Inside a pod: the service account's files, and the address from the pod's variables. */
      readonly kind: 'in-cluster'
      readonly variables: Readonly<Record<string, string | undefined>>
      /** Goes before the paths of the files. */
      readonly prefix?: string | undefined
    }
  | {
      readonly kind: 'token'
      /** `https://host:6443` */
      readonly url: string
      readonly token: string
      /** PEM text, or the absolute path of a file with it. The computer's own authorities where absent. */
      readonly certificateAuthority?: string | undefined
    }

export interface Credentials {
  /** For people: `the context prod of /home/alice/.kube/config`. */
  readonly told: string
  /** Reads all files anew and runs what must be run. Throws EnvironmentError with what to mend. */
  read(signal: AbortSignal): Promise<Access>
}

/** Credentials from a source; nothing is read before `read`. `now` in ms since 1970. */
export function credentialsFrom(source: CredentialSource, now: () => number): Credentials {
  switch (source.kind) {
    case 'kubeconfig': {
      const file = 'path' in source.file ? source.file.path : 'the kubeconfig'
      const told = source.context === undefined ? file : `the context ${source.context} of ${file}`
      return {
        told,
        read: async (signal) => checked(await readKubeconfig({ ...source, signal, now }), told),
      }
    }
    case 'in-cluster':
      return {
        told: 'the service account of this pod',
        read: async () =>
          checked(await inCluster(source.variables, source.prefix ?? '', now), 'the service account'),
      }
    case 'token':
      return {
        told: `the token for ${source.url}`,
        read: async () => checked(await withToken(source), `the token for ${source.url}`),
      }
  }
}

const accountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount'
/** The kubelet renews the token in its file; the client of Kubernetes reads it once a minute too. */
const tokenFreshMs = 60_000

async function inCluster(
  variables: Readonly<Record<string, string | undefined>>,
  prefix: string,
  now: () => number,
): Promise<Access> {
  const [host, port] = [variables['KUBERNETES_SERVICE_HOST'], variables['KUBERNETES_SERVICE_PORT']]
  if (host === undefined || host === '' || port === undefined || port === '')
    throw new EnvironmentError(
      'This is no pod of Kubernetes: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set. ' +
        'Give a kubeconfig, or a url and a token.',
    )
  const directory = join(prefix === '' ? '/' : prefix, accountDirectory)
  const ca = await readText(join(directory, 'ca.crt'), "the service account's certificate authority")
  const token = tokenIn(await readText(join(directory, 'token'), "the service account's token"), directory)
  const namespace = await readText(join(directory, 'namespace'), "the pod's namespace")
  return {
    server: httpsAddress(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`, 'the variables of the pod'),
    ...(namespace.trim() !== '' && { namespace: namespace.trim() }),
    tls: { ca },
    headers: { authorization: `Bearer ${token}` },
    secrets: [token],
    staleAtMs: now() + tokenFreshMs,
  }
}

async function withToken(source: Extract<CredentialSource, { kind: 'token' }>): Promise<Access> {
  const token = tokenIn(source.token, 'the option token')
  const given = source.certificateAuthority
  if (given !== undefined && !isPem(given) && !isAbsolute(given))
    throw new EnvironmentError(
      'The certificate authority is neither PEM text (-----BEGIN CERTIFICATE-----) nor an absolute path.',
    )
  const ca = given === undefined || isPem(given) ? given : await readText(given, 'the certificate authority')
  return {
    server: httpsAddress(source.url, 'the option url'),
    tls: ca === undefined ? {} : { ca },
    headers: { authorization: `Bearer ${token}` },
    secrets: [token],
  }
}

/** The same access, once TLS has taken its certificates. */
function checked(access: Access, told: string): Access {
  const { ca, cert, key } = access.tls
  for (const [name, text] of [
    ['certificate authority', ca],
    ['client certificate', cert],
    ['client key', key],
  ])
    if (text !== undefined && !isPem(text))
      throw new EnvironmentError(`The ${name} of ${told} is no PEM text: it must hold -----BEGIN ...-----.`)
  try {
    createSecureContext({ ...access.tls })
  } catch (error) {
    const message = messageOf(error)
    throw new EnvironmentError(
      `The certificates of ${told} cannot be used (${message}). Look whether certificate and key belong together.`,
      { cause: error },
    )
  }
  return access
}

function isPem(text: string): boolean {
  return text.includes('-----BEGIN ')
}
