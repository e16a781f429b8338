/** What a pod's status becomes at once, instead of running it. */
export interface PodFault {
  readonly phase: 'Pending' | 'Failed'
  readonly reason?: string
  readonly message?: string
  readonly waiting?: { readonly reason: string; readonly message?: string }
  readonly terminated?: { readonly exitCode: number; readonly reason: string; readonly message?: string }
}

const waiting = (reason: string, message?: string): PodFault => ({
  phase: 'Pending',
  waiting: { reason, ...(message === undefined ? {} : { message }) },
})

/** By the tag of the first container's image, so `any:oom` is killed for its memory. As 1.20 says them. */
const faults: Readonly<Record<string, PodFault>> = {
  missing: waiting('ErrImagePull', 'not found'),
  backoff: waiting('ImagePullBackOff', 'Back-off pulling image'),
  never: waiting('ErrImageNeverPull', 'Container image is not present with pull policy of Never'),
  invalid: waiting('InvalidImageName', 'Failed to apply default image tag'),
  config: waiting('CreateContainerConfigError', 'configmap not found'),
  creating: waiting('ContainerCreating'),
  oom: { phase: 'Failed', terminated: { exitCode: 137, reason: 'OOMKilled' } },
  starterror: {
    phase: 'Failed',
    terminated: { exitCode: 128, reason: 'StartError', message: 'no such file or directory' },
  },
  evicted: { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' },
  shutdown: { phase: 'Failed', reason: 'Shutdown', message: 'Node is shutting, evicting pods' },
  outofcpu: { phase: 'Failed', reason: 'OutOfcpu', message: 'Node did not have enough resource: cpu' },
}

/** The fault that an image's tag asks for; undefined for every other image. */
export function faultOf(image: string): PodFault | undefined {
  return faults[image.split(':').at(-1) ?? '']
}
