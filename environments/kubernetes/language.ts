import type { EnvironmentReference } from '../../src/workflow/environment.ts'

/** What a script can say about running on a Kubernetes cluster. */
export interface KubernetesReferenceOptions {
  /** Another name than `kubernetes` in logs and counters. */
  readonly name?: string
  /** Where the jobs are made; that of the kubeconfig's context without it. */
  readonly namespace?: string
  /** What jobs run in: `'python:3.13-slim'`. It needs nothing of Molehill's, not even a shell. */
  readonly image: string

  /** Which context of the kubeconfig, `~/.kube/config` of the server's user; its current one without it. */
  readonly context?: string
  /** Uses the service account of the pod that the server runs in. */
  readonly inCluster?: boolean

  /** Service account of the pods; they get no token of it. */
  readonly serviceAccount?: string
  /** Labels that nodes must have. */
  readonly nodeSelector?: Readonly<Record<string, string>>
  /** Taints of nodes that jobs put up with. */
  readonly tolerations?: readonly {
    readonly key?: string
    readonly operator?: 'Exists' | 'Equal'
    readonly value?: string
    readonly effect?: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute'
    readonly tolerationSeconds?: number
  }[]
  readonly priorityClass?: string
  readonly runtimeClass?: string
  /** As whom jobs run. `restricted` asks for all that namespaces of the level `restricted` want. */
  readonly securityContext?: {
    readonly runAsUser?: number
    readonly runAsGroup?: number
    readonly fsGroup?: number
    readonly runAsNonRoot?: boolean
    readonly restricted?: boolean
  }
  readonly imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never'
  /** Names of Secrets with the credentials of registries. */
  readonly imagePullSecrets?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  /** Merged over the template of every pod: `{ spec: { affinity: ... } }`. */
  readonly template?: {
    readonly metadata?: Readonly<Record<string, unknown>>
    readonly spec?: Readonly<Record<string, unknown>>
  }
  /** Queue of Kueue that admits the jobs. */
  readonly queue?: string

  /** What brings files; an image with a busybox that needs no libraries. `busybox:1.36-musl` without it. */
  readonly stagingImage?: string

  /**
   * Whether the image holds what `molehill runtime` writes, in `/usr/share/molehill`: then Node and the language need not
   * travel to each pod that calls functions.
   */
  readonly hasRuntime?: boolean

  /**
   * A PersistentVolumeClaim of the namespace that many pods may mount (`ReadWriteMany`): the work directory and what
   * functions need are put there once, instead of into every pod.
   */
  readonly volume?: string

  /**
   * Few pods that run `slots` jobs at once each, one after the other, instead of a pod for each job: at most `count`, each
   * for `time` or until nothing has come for `idleMs` (a minute). For many short jobs.
   */
  readonly pilots?: {
    readonly count: number
    readonly slots: number
    readonly time: string | number
    readonly idleMs?: number
  }

  /**
   * Where pods reach this server, `'http://molehill.example:8480'`: they fetch their files from there themselves, instead
   * of getting them by exec. `https://` needs a curl in the staging image.
   */
  readonly fetchFrom?: string
  /** PEM text: who signs the certificate of `fetchFrom`, where images do not know. */
  readonly fetchAuthority?: string

  /** Most jobs of this server that wait or run there; 1000 without it. */
  readonly maxActiveJobs?: number
  /** How long an image that cannot be pulled is waited for: `'5 min'`, or milliseconds. 2 minutes without it. */
  readonly pendingLimit?: string | number
  /** How long files may take before a job, and how long outputs are kept for the server after it. 1 hour without it. */
  readonly stagingLimit?: string | number
  /** How long a job may go on after it was asked to end, in milliseconds. */
  readonly stopGraceMs?: number
  /**
   * Jobs of a cluster that gave no answer for so long count as lost and are tried again, elsewhere where they may:
   * `'2 h'`, or milliseconds. Without it they wait until it answers.
   */
  readonly lostAfter?: string | number

  /** How long a job may run that says nothing itself: `'90 min'`, `'2 h'`, `'1-02:00:00'`, or milliseconds. */
  readonly time?: string | number
  /** Memory of a job that asks for none itself: `'4 GB'`, or bytes. */
  readonly memory?: string | number
  /** Processors of a job that asks for none itself. */
  readonly cpus?: number
  /** Graphics processors of a job that asks for none itself. */
  readonly gpus?: number
  /** What a graphics processor is called in the cluster; `nvidia.com/gpu` without it. */
  readonly gpuResource?: string
  /** Whether a job may use no more processors than it asked for, also where others are idle. */
  readonly limitsCpus?: boolean
  /** Variables of every job. */
  readonly variables?: Readonly<Record<string, string>>
}

/** A Kubernetes cluster, for `.on(kubernetes({ namespace: 'simulations', image: 'python:3.13-slim' }))`. */
export function kubernetes({ name, ...options }: KubernetesReferenceOptions): EnvironmentReference {
  return { kind: 'kubernetes', ...(name === undefined ? {} : { name }), options }
}
