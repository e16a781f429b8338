import { z } from 'zod'
import { defaultsShape, duration, longDuration, oneLine } from '../../src/environment/batch/option-shapes.ts'
import { pilotOptions } from '../../src/environment/batch/pilot-options.ts'
import {
  absolutePath,
  annotations,
  byName,
  imageName,
  labelName,
  labels,
  labelText,
  objectName,
  qualifiedName,
} from './option-words.ts'
import { podTemplate } from './pods/template.ts'

const { cpus, memory, gpus, time } = defaultsShape

const minuteMs = 60_000

const toleration = z.strictObject({
  key: qualifiedName.optional(),
  operator: z.enum(['Exists', 'Equal'], { error: 'expected Exists or Equal' }).optional(),
  value: labelText.optional(),
  effect: z
    .enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute'], {
      error: 'expected NoSchedule, PreferNoSchedule or NoExecute',
    })
    .optional(),
  tolerationSeconds: z.int().min(0).optional(),
})

const userId = z.int().min(0).max(2_147_483_647)

const securityContext = z
  .strictObject({
    runAsUser: userId.optional(),
    runAsGroup: userId.optional(),
    fsGroup: userId.optional(),
    runAsNonRoot: z.boolean().optional(),
    /** Asks for all that namespaces of the level `restricted` want. */
    restricted: z.boolean().default(false),
  })
  .superRefine(({ runAsUser, runAsNonRoot, restricted }, context) => {
    if ((restricted || runAsNonRoot === true) && (runAsUser === undefined || runAsUser === 0))
      context.addIssue({
        code: 'custom',
        path: ['runAsUser'],
        message:
          'expected the number of a user other than 0: what stages files would run as root without it, which this forbids',
      })
  })

const variables = byName(
  z.string().regex(/^[^=\0]+$/, { error: 'expected the name of a variable' }),
  z.string().regex(/^[^\0]*$/, { error: 'expected text without NUL characters' }),
).default({})

/** Nothing in it means anything to a shell, to Kubernetes or to a signature. */
const webAddress = (error: string) =>
  z
    .string()
    .max(1000)
    .regex(/^https?:\/\/[\w.:[\]-]+(?:\/[\w.~-]+)*\/?$/, { error })

const shape = {
  /** Where the objects are made. Default: the one of the kubeconfig's context or of the pod that the server runs in. */
  namespace: labelName.optional(),
  /** What jobs run in; it needs nothing of ours, not even a shell. */
  image: imageName,

  /** Path on the server of a kubeconfig. Default: `~/.kube/config`, unless `inCluster` or `url` is there. */
  kubeconfig: absolutePath.optional(),
  /** A kubeconfig itself, instead of a file with it. Secret. */
  kubeconfigText: z.string().min(1).max(1_000_000).optional(),
  /** Which context of the kubeconfig; its current one without it. */
  context: oneLine.optional(),
  /** Whether users of the kubeconfig may name a program (`exec:`) that the server runs to get a token. */
  allowExec: z.boolean().default(false),
  /** Whether a kubeconfig may switch the check of the API server's certificate off. */
  allowInsecureTls: z.boolean().default(false),
  /** Uses the service account of the pod that the server runs in. */
  inCluster: z.boolean().default(false),
  /** The API server: `https://cluster.example.org:6443`. */
  url: z.url({ protocol: /^https$/, error: 'expected an address that begins with https://' }).optional(),
  /** Belongs to `url`. Secret. */
  token: oneLine.max(65_536).optional(),
  /** PEM text, or the absolute path of a file with it; belongs to `url`. */
  certificateAuthority: z
    .string()
    .max(1_000_000)
    .regex(/-----BEGIN CERTIFICATE-----|^\/[^\0\r\n]*$/, {
      error: 'expected certificates as PEM text, or the absolute path of a file with them',
    })
    .optional(),

  serviceAccount: objectName.optional(),
  nodeSelector: byName(qualifiedName, labelText).default({}),
  tolerations: z.array(toleration).max(100).default([]),
  priorityClass: objectName.optional(),
  runtimeClass: objectName.optional(),
  securityContext: securityContext.optional(),
  imagePullPolicy: z
    .enum(['Always', 'IfNotPresent', 'Never'], { error: 'expected Always, IfNotPresent or Never' })
    .optional(),
  /** Names of Secrets with the credentials of registries. */
  imagePullSecrets: z.array(objectName).max(20).default([]),
  labels,
  annotations,
  /** Merged over the template of every pod: `{ spec: { affinity: ... } }`. */
  template: podTemplate.default({}),
  /** Kueue's queue: its label is set, and Jobs are made suspended until Kueue admits them. */
  queue: labelText.min(1).optional(),

  /** What brings files. It must hold a busybox without libraries, since that runs in every other image too. */
  stagingImage: imageName.default('busybox:1.36-musl'),

  /** Whether the image holds what `molehill runtime` writes, in /usr/share/molehill, so that functions need not bring it. */
  hasRuntime: z.boolean().default(false),

  /**
   * A PersistentVolumeClaim of the namespace that many pods may mount: work directories and what functions need are put
   * there once for each execution, instead of into every pod.
   */
  volume: objectName.optional(),

  /** Few pods that run many jobs each, instead of a pod for each job. */
  pilots: pilotOptions.optional(),

  /**
   * Where pods reach this server: they fetch their files from there, instead of getting them by exec. By http:// with
   * any busybox; https:// needs a curl in the staging image.
   */
  fetchFrom: webAddress('expected an address of this server such as http://molehill.example:8480').optional(),
  /**
   * An S3 bucket, with a prefix or without, that takes large work directories and what functions need, once for all pods.
   * Without an access key requests go unsigned, as to a web server that takes PUT and DELETE.
   */
  objectStorage: z
    .strictObject({
      url: webAddress('expected an address such as https://s3.example/bucket/prefix'),
      region: oneLine.max(100).default('us-east-1'),
      accessKey: z
        .string()
        .regex(/^[\w.:+-]{1,200}$/, { error: 'expected letters, digits and _ . : + -' })
        .optional(),
    })
    .optional(),
  /** Belongs to the access key of `objectStorage`. Secret. */
  objectStorageSecret: oneLine.max(1000).optional(),
  /** PEM text: who signs the certificates of `fetchFrom` and `objectStorage`, where images do not know. */
  fetchAuthority: z
    .string()
    .max(100_000)
    .regex(/^\s*(?:-----BEGIN CERTIFICATE-----[\w+/=\s]+-----END CERTIFICATE-----\s*)+$/, {
      error: 'expected certificates as PEM text',
    })
    .optional(),

  /** Most jobs of this server that wait or run there. */
  maxActiveJobs: z.int().min(1).max(100_000).default(1000),
  /** How long an image that cannot be pulled, or a pod that may not be made, is waited for. */
  pendingLimit: duration.default(2 * minuteMs),
  /** How long files may take before a job, and how long its outputs are kept for the server after it. */
  stagingLimit: duration.default(60 * minuteMs),
  /** How long a job may go on after it was asked to end; then it is killed. */
  stopGraceMs: z.int().min(0).max(3_600_000).default(10_000),
  /** Jobs of a cluster that gave no answer for so long count as lost and are tried again; without it they wait. */
  lostAfter: longDuration.optional(),

  cpus,
  memory,
  gpus,
  time,
  /** What a graphics processor is called in the cluster. */
  gpuResource: qualifiedName.default('nvidia.com/gpu'),
  /** Whether a job may use no more processors than it asked for, also where others are idle. */
  limitsCpus: z.boolean().default(false),
  /** Variables of every job. */
  variables,
}

export const kubernetesOptions = z.strictObject(shape).superRefine((options, context) => {
  const refuse = (path: keyof typeof shape, message: string) => {
    context.addIssue({ code: 'custom', path: [path], message })
  }
  const { kubeconfig, kubeconfigText, url, inCluster, token } = options
  const ways = [
    ...(kubeconfig === undefined ? [] : ['kubeconfig' as const]),
    ...(kubeconfigText === undefined ? [] : ['kubeconfigText' as const]),
    ...(url === undefined ? [] : ['url' as const]),
    ...(inCluster ? ['inCluster' as const] : []),
  ]
  if (ways.length > 1)
    refuse(
      ways[1]!,
      `only one way leads to a cluster, but there are ${ways.join(' and ')}: leave all but one`,
    )
  if (options.context !== undefined && (url !== undefined || inCluster))
    refuse('context', 'contexts are of kubeconfigs: leave it out beside url and inCluster')
  for (const name of ['token', 'certificateAuthority'] as const)
    if (options[name] !== undefined && url === undefined) refuse(name, 'needs the option url beside it')
  if (url !== undefined && token === undefined)
    refuse('token', 'is needed for url; it is kept with --secret token')
  const { pilots, volume, gpus } = options
  if (pilots !== undefined && volume !== undefined)
    refuse(
      'volume',
      'has no use beside pilots: each gets the work directory once, and keeps it for all its jobs',
    )
  if (pilots !== undefined && gpus !== undefined)
    refuse('gpus', 'has no meaning beside pilots: nothing keeps their jobs from taking the same ones')
  if (pilots !== undefined && options.fetchFrom !== undefined)
    refuse('fetchFrom', 'has no use beside pilots: they are spoken to by exec')
  if (pilots !== undefined && options.objectStorage !== undefined)
    refuse('objectStorage', 'has no use beside pilots: each gets the work directory once')
  const { fetchFrom, objectStorage, fetchAuthority, objectStorageSecret, stagingImage } = options
  const isHttps = (address: string | undefined): boolean => address?.startsWith('https:') === true
  const isBusyboxOnly = /^(?:.*\/)?busybox(?:[:@]|$)/.test(stagingImage)
  const needsCurl =
    "https:// needs a stagingImage that holds curl too: busybox's wget checks no certificate. Or say http://"
  if (isHttps(fetchFrom) && isBusyboxOnly)
    refuse('fetchFrom', `${needsCurl}, with the server's --job-files-port`)
  if (isHttps(objectStorage?.url) && isBusyboxOnly) refuse('objectStorage', needsCurl)
  if (fetchAuthority !== undefined && !isHttps(fetchFrom) && !isHttps(objectStorage?.url))
    refuse('fetchAuthority', 'needs a fetchFrom or objectStorage beside it that begins with https://')
  if ((objectStorage?.accessKey === undefined) !== (objectStorageSecret === undefined))
    refuse(
      'objectStorageSecret',
      'goes with the accessKey of objectStorage, each needs the other; it is kept with --secret objectStorageSecret',
    )
  for (const toleration of options.tolerations)
    if (toleration.key === undefined && toleration.operator !== 'Exists')
      refuse('tolerations', "expected a key, or operator: 'Exists' to tolerate everything")
})

export type KubernetesOptions = z.output<typeof kubernetesOptions>

/** Names of the options that are secret. */
export const kubernetesSecrets: readonly string[] = ['token', 'kubeconfigText', 'objectStorageSecret']

/** Names of the options that would let scripts read files of the server, run programs on it, lay its credentials open or send it anywhere. */
export const kubernetesOperatorOnly: readonly string[] = [
  'kubeconfig',
  'allowExec',
  'allowInsecureTls',
  'objectStorage',
]
