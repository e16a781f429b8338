import { createPrivateKey, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CoreV1Api,
  RbacAuthorizationV1Api,
  type KubeConfig,
  type V1PolicyRule,
} from '@kubernetes/client-node'
import { SignJWT } from 'jose'
import { until } from '../conformance/until.ts'

export interface AccountOptions {
  readonly namespace: string
  /** Default: one of its own. */
  readonly name?: string
  /** What it may do in that namespace. */
  readonly rules: readonly V1PolicyRule[]
  /** Of its token. Default an hour. */
  readonly lifetimeSeconds?: number
}

/** A service account with a role of its own in one namespace. */
export interface KubernetesAccount {
  readonly name: string
  readonly token: string
  /** Path of a kubeconfig with that token and that namespace. */
  readonly kubeconfig: string
  /** A new token; the server refuses it after its lifetime, or up to 10 s later. May be negative. */
  makeToken(lifetimeSeconds: number): Promise<string>
  /** Gives it other rights, which hold from the next request on. */
  setRules(rules: readonly V1PolicyRule[]): Promise<void>
}

export interface KubernetesAccounts {
  /** Gives the name, when pods can be made in it. Default: a name of its own. */
  makeNamespace(name?: string): Promise<string>
  /** Returns before it is gone, which takes 5 s and, with pods, far more. */
  removeNamespace(name: string): Promise<void>
  makeAccount(options: AccountOptions): Promise<KubernetesAccount>
}

interface Place {
  readonly directory: string
  readonly url: string
  readonly certificateAuthority: string
}

export function kubernetesAccounts(configuration: KubeConfig, place: Place): KubernetesAccounts {
  const core = configuration.makeApiClient(CoreV1Api)
  const rights = configuration.makeApiClient(RbacAuthorizationV1Api)
  return {
    makeNamespace: async (name = anyName('test')) => {
      await core.createNamespace({ body: { metadata: { name } } })
      const hasAccount = async () => {
        const { items } = await core.listNamespacedServiceAccount({ namespace: name })
        return items.some(({ metadata }) => metadata?.name === 'default') || undefined
      }
      await until(`the namespace ${name} has its default account`, hasAccount, () => 'none', 60_000)
      return name
    },
    removeNamespace: async (name) => void (await core.deleteNamespace({ name })),
    makeAccount: async ({ namespace, name = anyName('account'), rules, lifetimeSeconds = 3600 }) => {
      const metadata = { name, namespace }
      const account = await core.createNamespacedServiceAccount({ namespace, body: { metadata } })
      const uid = account.metadata?.uid ?? ''
      const role = (list: readonly V1PolicyRule[]) => ({ metadata, rules: [...list] })
      await rights.createNamespacedRole({ namespace, body: role(rules) })
      await rights.createNamespacedRoleBinding({
        namespace,
        body: {
          metadata,
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
          subjects: [{ kind: 'ServiceAccount', name, namespace }],
        },
      })
      const makeToken = (seconds: number) => signToken(place.directory, { namespace, name, uid }, seconds)
      const token = await makeToken(lifetimeSeconds)
      return {
        name,
        token,
        kubeconfig: await writeKubeconfig(place, { namespace, name, token }),
        makeToken,
        setRules: async (list) => {
          await rights.replaceNamespacedRole({ namespace, name, body: role(list) })
        },
      }
    },
  }
}

const anyName = (prefix: string) => `${prefix}-${randomBytes(4).toString('hex')}`

/** As TokenRequest makes them, but of any lifetime: the server gives none below ten minutes. */
async function signToken(
  directory: string,
  { namespace, name, uid }: { namespace: string; name: string; uid: string },
  lifetimeSeconds: number,
): Promise<string> {
  const key = createPrivateKey(await readFile(join(directory, 'keys/accounts.key')))
  const issuer = 'https://kubernetes.default.svc'
  // the server takes a token for a minute longer
  const end = Math.floor(Date.now() / 1000) + lifetimeSeconds - 60
  return new SignJWT({ 'kubernetes.io': { namespace, serviceaccount: { name, uid } } })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(issuer)
    .setAudience([issuer])
    .setSubject(`system:serviceaccount:${namespace}:${name}`)
    .setIssuedAt(end - 86_400)
    .setNotBefore(end - 86_400)
    .setExpirationTime(end)
    .sign(key)
}

async function writeKubeconfig(
  { directory, url, certificateAuthority }: Place,
  { namespace, name, token }: { namespace: string; name: string; token: string },
): Promise<string> {
  const file = join(directory, 'accounts', `${namespace}-${name}.yaml`)
  const authority = Buffer.from(certificateAuthority).toString('base64')
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority-data': authority } }],
    users: [{ name, user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: name, namespace } }],
    'current-context': 'test',
  }
  await mkdir(join(directory, 'accounts'), { recursive: true, mode: 0o700 })
  // JSON is YAML
  await writeFile(file, JSON.stringify(content, undefined, 2), { mode: 0o600 })
  return file
}
