import type { V1PolicyRule } from '@kubernetes/client-node'
import type { Right } from './cluster.ts'

/** One thing that must be allowed in the namespace. */
export interface NeededRight extends Right {
  /** The rest of a sentence: what cannot be done without it. */
  readonly purpose: string
}

interface RightsOfResource {
  readonly group: string
  readonly resource: string
  readonly subresource?: string
  /** Purposes by verb. */
  readonly verbs: Readonly<Record<string, string>>
}

const resources: readonly RightsOfResource[] = [
  {
    group: 'batch',
    resource: 'jobs',
    verbs: {
      create: 'start jobs',
      get: 'find jobs again',
      list: 'see how jobs are',
      watch: 'see soon how jobs are',
      patch: 'cancel jobs that wait',
      delete: 'clean up after jobs',
    },
  },
  {
    group: '',
    resource: 'pods',
    verbs: {
      get: 'see how a job is',
      list: 'see how jobs are',
      watch: 'see soon how jobs are',
      patch: 'cancel jobs that run',
      delete: 'end jobs that do not end when asked to',
    },
  },
  { group: '', resource: 'pods', subresource: 'log', verbs: { get: 'show what jobs print' } },
  { group: '', resource: 'events', verbs: { list: 'tell why jobs do not start' } },
  // An exec over a websocket is a GET; newer API servers ask for `create` too.
  {
    group: '',
    resource: 'pods',
    subresource: 'exec',
    verbs: { create: 'bring files to jobs and back', get: 'bring files to jobs and back' },
  },
]

/** All that the account needs in the namespace. */
export const neededRights: readonly NeededRight[] = resources.flatMap(({ verbs, ...resource }) =>
  Object.entries(verbs).map(([verb, purpose]) => ({ ...resource, verb, purpose })),
)

/** The same as the rules of a Role. */
export const roleRules: readonly V1PolicyRule[] = resources.map((rights) => ({
  apiGroups: [rights.group],
  resources: [resourceText(rights)],
  verbs: Object.keys(rights.verbs),
}))

/** The manifest of a service account that may do just that, for `kubectl apply`: YAML with three documents. */
export function rbacManifest({
  namespace,
  account,
}: {
  readonly namespace: string
  readonly account: string
}): string {
  const head = (apiVersion: string, kind: string) =>
    `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: ${account}, namespace: ${namespace} }\n`
  const rules = roleRules.map(
    ({ apiGroups = [], resources = [], verbs }) =>
      `  - { apiGroups: [${apiGroups.map((group) => (group === '' ? "''" : group)).join(', ')}], resources: [${resources.join(', ')}], verbs: [${verbs.join(', ')}] }\n`,
  )
  const role = `rules:\n${rules.join('')}`
  const binding =
    `roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: ${account} }\n` +
    `subjects:\n  - { kind: ServiceAccount, name: ${account}, namespace: ${namespace} }\n`
  const rbac = 'rbac.authorization.k8s.io/v1'
  return [head('v1', 'ServiceAccount'), head(rbac, 'Role') + role, head(rbac, 'RoleBinding') + binding].join(
    '---\n',
  )
}

/** What to say of rights that are missing, each named. */
export function missingRights(missing: readonly NeededRight[], namespace: string): string {
  const verbs = new Map<string, string[]>()
  for (const right of missing) {
    const resource = resourceText(right)
    verbs.set(resource, [...(verbs.get(resource) ?? []), right.verb])
  }
  const rights = [...verbs].map(([resource, each]) => `${each.join(', ')} ${resource}`).join('; ')
  const purposes = [...new Set(missing.map(({ purpose }) => purpose))].join('; ')
  return `The account may not, in the namespace ${namespace}: ${rights}. Without that Molehill cannot ${purposes}.`
}

function resourceText({ resource, subresource }: Pick<Right, 'resource' | 'subresource'>): string {
  return subresource === undefined ? resource : `${resource}/${subresource}`
}
