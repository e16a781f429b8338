import { EnvironmentError, type CheckFinding } from '../../src/environment/environment.ts'
import { ApiError } from './cluster/api-errors.ts'
import type { Cluster } from './cluster/cluster.ts'
import { eachBounded } from './cluster/each-bounded.ts'
import type { ObjectStorage } from './files/object-storage.ts'
import type { KubernetesOptions } from './options.ts'
import { missingRights, neededRights, type NeededRight } from './cluster/rights.ts'

const mostCalls = 8

/**
 * Looks at the way to the cluster, the namespace, the rights there and the claim, if there is to be one: what comes after a
 * bad finding is not asked.
 */
export async function inspectCluster(
  cluster: Cluster,
  options: Pick<KubernetesOptions, 'volume' | 'fetchFrom'> & { readonly storage?: ObjectStorage | undefined },
  signal: AbortSignal,
): Promise<readonly CheckFinding[]> {
  const { volume, storage } = options
  const findings: CheckFinding[] = []
  const looks = [
    lookAtServer,
    (asked: Cluster) => lookAtRights(asked, isExecOptional(options), signal),
    lookAtNamespace,
    ...(volume === undefined ? [] : [(asked: Cluster) => lookAtClaim(asked, volume, signal)]),
    ...(storage === undefined ? [] : [() => lookAtStorage(storage)]),
  ]
  for (const look of looks) {
    const finding = await look(cluster, signal).catch((error: unknown) => badFinding(error, signal))
    findings.push(finding)
    if (!finding.isGood) break
  }
  return findings
}

async function lookAtServer(cluster: Cluster, signal: AbortSignal): Promise<CheckFinding> {
  const { gitVersion } = await cluster.version(signal)
  const message = `${cluster.connection.address} is Kubernetes ${gitVersion}.`
  return { what: 'cluster', isGood: true, message }
}

/** Where pods fetch their files, and nothing is brought into a claim. */
export function isExecOptional({
  volume,
  fetchFrom,
}: Pick<KubernetesOptions, 'volume' | 'fetchFrom'>): boolean {
  return fetchFrom !== undefined && volume === undefined
}

async function lookAtRights(
  cluster: Cluster,
  canDoWithoutExec: boolean,
  signal: AbortSignal,
): Promise<CheckFinding> {
  const namespace = await cluster.namespace(signal)
  const refused = new Set<NeededRight>()
  await eachBounded(neededRights, mostCalls, async (right) => {
    const { purpose: _, ...asked } = right
    const { allowed } = await cluster.mayI(asked, signal)
    if (!allowed) refused.add(right)
  })
  // In one order, whichever answer came first.
  const missing = neededRights.filter((right) => refused.has(right))
  if (canDoWithoutExec && missing.length > 0 && missing.every(({ subresource }) => subresource === 'exec'))
    return {
      what: 'rights',
      isGood: true,
      message: `The account may not exec into pods in ${namespace}: jobs run, but their outputs are not fetched.`,
    }
  if (missing.length === 0)
    return { what: 'rights', isGood: true, message: `The account may do all that is needed in ${namespace}.` }
  return {
    what: 'rights',
    isGood: false,
    message: missingRights(missing, namespace),
    fix: 'Give the account the Role of docs/operations/kubernetes.md.',
  }
}

/** Last, since an account that may do everything else need not be allowed to read the namespace itself. */
async function lookAtNamespace(cluster: Cluster, signal: AbortSignal): Promise<CheckFinding> {
  const name = await cluster.namespace(signal)
  const good: CheckFinding = { what: 'namespace', isGood: true, message: `Jobs are made in ${name}.` }
  try {
    const { status } = await cluster.readNamespace(signal)
    if (status?.phase !== 'Terminating') return good
    const message = `The namespace ${name} is being deleted.`
    return { what: 'namespace', isGood: false, message, fix: 'Name another one, or wait and make it again.' }
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return good
    if (!(error instanceof ApiError) || error.status !== 404) throw error
    const message = `There is no namespace ${name} in the cluster.`
    return { what: 'namespace', isGood: false, message, fix: 'Make it, or name another one.' }
  }
}

async function lookAtStorage(storage: ObjectStorage): Promise<CheckFinding> {
  const what = 'object storage'
  try {
    await storage.check()
    return { what, isGood: true, message: 'It takes, gives and deletes.' }
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    return {
      what,
      isGood: false,
      message: error.message,
      fix: 'Look at its address, its keys and their rights.',
    }
  }
}

async function lookAtClaim(cluster: Cluster, name: string, signal: AbortSignal): Promise<CheckFinding> {
  const good: CheckFinding = {
    what: 'volume',
    isGood: true,
    message: `Jobs find their files in the claim ${name}.`,
  }
  const bad = (message: string, fix: string): CheckFinding => ({
    what: 'volume',
    isGood: false,
    message,
    fix,
  })
  const make = 'Make it, with the access mode ReadWriteMany, or name another one.'
  try {
    const claim = await cluster.claims.find(name, signal)
    if (claim === undefined) return bad(`There is no claim ${name} in the namespace.`, make)
    if (claim.status?.phase === 'Lost') return bad(`The claim ${name} has lost its volume.`, make)
    const isForMany = claim.spec?.accessModes?.includes('ReadWriteMany') === true
    return isForMany
      ? good
      : { ...good, message: `${good.message} It is not ReadWriteMany: all jobs will run on one node.` }
  } catch (error) {
    // An account that may make pods with the claim need not be allowed to read it.
    if (error instanceof ApiError && error.status === 403) return good
    throw error
  }
}

function badFinding(error: unknown, signal: AbortSignal): CheckFinding {
  signal.throwIfAborted()
  if (!(error instanceof ApiError || error instanceof EnvironmentError)) throw error
  const isRefused = error instanceof ApiError && (error.status === 401 || error.status === 403)
  return {
    what: isRefused ? 'credentials' : 'cluster',
    isGood: false,
    message: isRefused
      ? `The cluster refuses the credentials: ${error.message.replace(/\.?$/, '.')}`
      : error.message,
    ...(isRefused && { fix: 'Get a new token or kubeconfig, and keep it with molehill environment add.' }),
  }
}
