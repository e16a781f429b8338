import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { LocalHost } from '../../src/environment/local-host.ts'
import type { EnvironmentPlugin, PluginContext } from '../../src/environment/plugin.ts'
import { openCluster } from './cluster/cluster.ts'
import { credentialsFrom, type CredentialSource } from './cluster/credentials.ts'
import { KubernetesEnvironment, type KubernetesEnvironmentParts } from './environment.ts'
import { openFetching } from './files/fetching.ts'
import { KeptRequests } from './pods/kept-requests.ts'
import {
  kubernetesOperatorOnly,
  kubernetesOptions,
  kubernetesSecrets,
  type KubernetesOptions,
} from './options.ts'
import { PilotEnvironment } from './pilots/environment.ts'

/** A namespace of a Kubernetes cluster: each attempt is a Job, which goes on while the server is away. */
export const plugin: EnvironmentPlugin<KubernetesOptions> = {
  kind: 'kubernetes',
  options: kubernetesOptions,
  secrets: kubernetesSecrets,
  operatorOnly: kubernetesOperatorOnly,
  async create(name, options, context) {
    const { directory, now, warn } = context
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const credentials = credentialsFrom(sourceOf(options, context), now)
    const parts: KubernetesEnvironmentParts = {
      cluster: openCluster(credentials, { now, namespace: options.namespace }),
      options,
      instance: createHash('sha256').update(directory).digest('hex').slice(0, 16),
      directory,
      requests: new KeptRequests(directory),
      fetching: await openFetching(options, context),
      newMark: () => `M${randomBytes(12).toString('hex')}x`,
      now,
      warn,
    }
    const { pilots } = options
    return pilots === undefined
      ? new KubernetesEnvironment(name, parts)
      : new PilotEnvironment(name, parts, pilots)
  },
}

function sourceOf(options: KubernetesOptions, { variables }: PluginContext): CredentialSource {
  const { url, token, certificateAuthority, inCluster, kubeconfig, kubeconfigText, context } = options
  if (url !== undefined && token !== undefined) return { kind: 'token', url, token, certificateAuthority }
  if (inCluster) return { kind: 'in-cluster', variables }
  const path = kubeconfig ?? join(variables['HOME'] ?? homedir(), '.kube/config')
  return {
    kind: 'kubeconfig',
    file: kubeconfigText === undefined ? { path } : { text: kubeconfigText },
    context,
    ...(options.allowExec && { programs: new LocalHost({ variables: passing(variables) }) }),
    allowInsecureTls: options.allowInsecureTls,
  }
}

/** What programs that give tokens need. */
function passing(variables: PluginContext['variables']): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) =>
      value !== undefined && /^(?:PATH|HOME|USER|LANG|TZ|AWS_.*|AZURE_.*|GOOGLE_.*|CLOUDSDK_.*)$/.test(name)
        ? [[name, value] as const]
        : [],
    ),
  )
}
