import type {
  V1Container,
  V1EnvVar,
  V1Job,
  V1PodSpec,
  V1ResourceRequirements,
  V1VolumeMount,
} from '@kubernetes/client-node'
import type { Resources } from '../../../src/environment/environment.ts'
import { contentPath } from '../../../src/environment/job-files/content-store.ts'
import { fetchVariables, type FetchWay } from '../scripts/fetch-script.ts'
import { annotationsOf, jobName, labelsOf, labelValue, queueLabel, type JobIdentity } from './names.ts'
import type { KubernetesOptions } from '../options.ts'
import { podPlaces } from '../scripts/places.ts'
import { stageInText, stageOutText } from '../scripts/staging-scripts.ts'
import { endingMs } from '../scripts/start-script.ts'
import { claimVolume, jobVolume, mainContainer, stagingContainers, withOverlay } from './template.ts'
import type { WirePod } from '../cluster/wire.ts'

/** Only a net: `release` deletes Jobs. A week. */
const keptAfterEndSeconds = 604_800

export interface JobBodyInput extends JobIdentity {
  /** What the job asks for, the environment's defaults included. */
  readonly resources: Resources
  /** Hashes of the contents that it finds in the claim. */
  readonly mounted?: readonly string[]
  /** Whether it has a directory in the claim, where outputs are left for a server that is away. */
  readonly isKept?: boolean
  /** With which token its pod fetches its files from which address. Without, they are brought. */
  readonly fetch?: { readonly address: string; readonly token: string } | undefined
}

/** The directory of an execution's jobs in the environment's own directory of its claim. */
export function keptDirectory(execution: string): string {
  return `jobs/${execution}`
}

/** After how long outputs go into the claim that nobody has begun to fetch. */
const claimAfterMs = 30_000

/** The environment's own directory in its claim. */
export function claimDirectory(instance: string): string {
  return `molehill/${labelValue(instance)}`
}

/** The hashes of the contents that a pod finds in the claim. */
export function mountedIn({ spec }: WirePod): ReadonlySet<string> {
  const mounts = spec?.containers.find(({ name }) => name === mainContainer)?.volumeMounts ?? []
  return new Set(
    mounts.flatMap(({ name, subPath }) => (name === claimVolume ? (subPath?.split('/').at(-2) ?? []) : [])),
  )
}

/**
 * The Job of one attempt: one pod, tried once, whose container `main` runs the job between two that bring and keep its
 * files. Nothing that a job is told stands in it, but in files: whoever may read Jobs reads them whole. Where the pod
 * fetches its files, the token for that does: it is worth nothing without the pod's UID, nor once the pod has them.
 */
export function jobBody(input: JobBodyInput, options: KubernetesOptions): V1Job {
  const labels = { ...options.labels, ...labelsOf(input) }
  const annotations = { ...options.annotations, ...annotationsOf(input) }
  const spec = podSpec(input, options)
  return onePodJob({ name: jobName(input.id), labels, annotations, keptAfterEndSeconds, spec }, options)
}

export interface OnePod {
  readonly name: string
  /** Of the Job and of its pod. */
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly keptAfterEndSeconds: number
  readonly spec: V1PodSpec
}

/** A Job of one pod, tried once, which waits for its queue where the options name one. */
export function onePodJob(
  { name, labels, annotations, keptAfterEndSeconds, spec }: OnePod,
  { queue, template }: Pick<KubernetesOptions, 'queue' | 'template'>,
): V1Job {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name,
      labels: { ...labels, ...(queue !== undefined && { [queueLabel]: queue }) },
      annotations,
    },
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit: 0,
      ttlSecondsAfterFinished: keptAfterEndSeconds,
      podReplacementPolicy: 'Failed',
      podFailurePolicy: {
        rules: [{ action: 'FailJob', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }],
      },
      ...(queue !== undefined && { suspend: true }),
      template: withOverlay({ metadata: { labels, annotations }, spec }, template),
    },
  }
}

/** How long a pod may live from the time a node has taken it, in seconds; undefined where the job may run for ever. */
export function podDeadlineSeconds(
  wallTimeMs: number | undefined,
  { stopGraceMs, pendingLimit, stagingLimit }: KubernetesOptions,
): number | undefined {
  if (wallTimeMs === undefined) return undefined
  const netMs = pendingLimit + stagingLimit + wallTimeMs + stopGraceMs + endingMs + stagingLimit
  return Math.min(Math.ceil(netMs / 1000), 2_147_483_647)
}

function podSpec(input: JobBodyInput, options: KubernetesOptions): V1PodSpec {
  const deadline = podDeadlineSeconds(input.resources.wallTimeMs, options)
  const claimed = claimMounts(input)
  const { volume } = options
  return {
    ...podSettings(options),
    terminationGracePeriodSeconds: Math.ceil((options.stopGraceMs + endingMs) / 1000),
    ...(deadline !== undefined && { activeDeadlineSeconds: deadline }),
    volumes: [
      { name: jobVolume, emptyDir: {} },
      ...(volume === undefined || (claimed.length === 0 && input.isKept !== true)
        ? []
        : [{ name: claimVolume, persistentVolumeClaim: { claimName: volume } }]),
    ],
    initContainers: [stageIn(input, options)],
    // What brings files needs nothing of the claim; what keeps outputs follows links there.
    containers: [main(input, options, claimed), stageOut(input, options, claimed)],
  }
}

/** Each content where it would lie if it had come with the job; nothing else of the claim can be seen. */
function claimMounts({ instance, mounted = [] }: JobBodyInput): readonly V1VolumeMount[] {
  return mounted.map((hash) => {
    const path = contentPath({ hash })
    return {
      name: claimVolume,
      subPath: `${claimDirectory(instance)}/${path}`,
      mountPath: `${podPlaces.root}/${path}`,
      readOnly: true,
    }
  })
}

/** What the options say of every pod. */
export function podSettings(options: KubernetesOptions): Omit<V1PodSpec, 'containers'> {
  const { serviceAccount, priorityClass, runtimeClass, nodeSelector, tolerations, imagePullSecrets } = options
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    ...(serviceAccount !== undefined && { serviceAccountName: serviceAccount }),
    ...(priorityClass !== undefined && { priorityClassName: priorityClass }),
    ...(runtimeClass !== undefined && { runtimeClassName: runtimeClass }),
    ...(Object.keys(nodeSelector).length > 0 && { nodeSelector }),
    ...(tolerations.length > 0 && { tolerations: tolerations.map(withoutUndefined) }),
    ...(imagePullSecrets.length > 0 && { imagePullSecrets: imagePullSecrets.map((name) => ({ name })) }),
    ...podSecurity(options),
  }
}

function main(
  { resources }: JobBodyInput,
  options: KubernetesOptions,
  claimed: readonly V1VolumeMount[],
): V1Container {
  const { cpus, memoryBytes, gpus } = resources
  const cpu = cpus === undefined ? {} : { cpu: String(cpus) }
  const memory = memoryBytes === undefined ? {} : { memory: String(Math.ceil(memoryBytes)) }
  const gpu = gpus === undefined || gpus === 0 ? {} : { [options.gpuResource]: String(gpus) }
  const requests = { ...cpu, ...memory, ...gpu }
  const limits = { ...(options.limitsCpus && cpu), ...memory, ...gpu }
  return {
    ...ours(options, claimed),
    name: mainContainer,
    image: options.image,
    command: [podPlaces.busybox, 'sh', podPlaces.start],
    ...(Object.keys(requests).length > 0 && {
      resources: { requests, ...(Object.keys(limits).length > 0 && { limits }) },
    }),
  }
}

function stageIn({ fetch }: JobBodyInput, options: KubernetesOptions): V1Container {
  const { fetchAuthority: authority, objectStorage, stagingLimit: limitMs } = options
  const wayTo = (address: string | undefined): FetchWay | undefined =>
    address === undefined
      ? undefined
      : { isHttps: address.startsWith('https:'), hasAuthority: authority !== undefined }
  const text = stageInText({ limitMs, fetch: wayTo(fetch?.address), contents: wayTo(objectStorage?.url) })
  const variables: V1EnvVar[] = [
    ...(fetch === undefined
      ? []
      : [
          { name: fetchVariables.address, value: fetch.address },
          { name: fetchVariables.token, value: fetch.token },
          { name: fetchVariables.pod, valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
        ]),
    ...(authority === undefined ? [] : [{ name: fetchVariables.authority, value: authority }]),
  ]
  return staging(stagingContainers.in, text, options, [], variables)
}

function stageOut(
  { id, instance, execution, isKept = false }: JobBodyInput,
  options: KubernetesOptions,
  claimed: readonly V1VolumeMount[],
): V1Container {
  const text = stageOutText({
    limitMs: options.stagingLimit,
    claimAfterMs: isKept ? Math.min(claimAfterMs, options.stagingLimit) : undefined,
  })
  const subPath = `${claimDirectory(instance)}/${keptDirectory(execution)}/${jobName(id)}`
  const own = isKept ? [{ name: claimVolume, subPath, mountPath: podPlaces.kept }] : []
  return staging(stagingContainers.out, text, options, [...claimed, ...own])
}

function staging(
  name: string,
  text: string,
  options: KubernetesOptions,
  claimed: readonly V1VolumeMount[],
  env: V1EnvVar[] = [],
): V1Container {
  return {
    ...ours(options, claimed),
    name,
    image: options.stagingImage,
    command: ['sh', '-c', text],
    ...(env.length > 0 && { env }),
    resources: stagingResources(options),
  }
}

/** It does next to nothing, but some namespaces want to be told so. Without processors, jobs fill nodes as asked. */
export function stagingResources({ limitsCpus }: KubernetesOptions): V1ResourceRequirements {
  return {
    requests: { cpu: '0', memory: '16Mi' },
    limits: { ...(limitsCpus && { cpu: '1' }), memory: '128Mi' },
  }
}

/** What all three containers have. */
export function ours(
  { imagePullPolicy, securityContext }: KubernetesOptions,
  claimed: readonly V1VolumeMount[],
): Omit<V1Container, 'name'> {
  return {
    ...(imagePullPolicy !== undefined && { imagePullPolicy }),
    volumeMounts: [{ name: jobVolume, mountPath: podPlaces.root }, ...claimed],
    ...(securityContext?.restricted === true && {
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    }),
  }
}

function podSecurity({ securityContext: given }: KubernetesOptions): Pick<V1PodSpec, 'securityContext'> {
  if (given === undefined) return {}
  const { restricted, ...rest } = given
  const securityContext = {
    ...withoutUndefined(rest),
    ...(restricted && { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }),
  }
  return { securityContext }
}

/** Our options may hold undefined where the client's types want absence. */
function withoutUndefined<Given extends object>(
  given: Given,
): { [Key in keyof Given]: Exclude<Given[Key], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as never
}
