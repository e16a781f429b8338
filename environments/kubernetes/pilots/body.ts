import type { V1Container, V1Job } from '@kubernetes/client-node'
import type { PilotTimes } from '../../../src/environment/batch/pilot-script.ts'
import { endingMs } from '../scripts/start-script.ts'
import { onePodJob, ours, podSettings, stagingResources } from '../pods/job-body.ts'
import { labelKeys, labelValue } from '../pods/names.ts'
import type { KubernetesOptions } from '../options.ts'
import { jobVolume, mainContainer, stagingContainers } from '../pods/template.ts'
import { loopScript } from './loop.ts'
import { pilotPlaces } from './places.ts'
import { keepText, layOutText } from './scripts.ts'

/** The label of pilots; its value is the name of the Job. */
export const pilotLabel = 'molehill/pilot'

/** Only a net, as for single jobs: the server deletes Jobs. */
const keptAfterEndSeconds = 3600

export type PilotMode = NonNullable<KubernetesOptions['pilots']>

export interface PilotBodyInput {
  readonly name: string
  readonly instance: string
  readonly pilots: PilotMode
  readonly times: PilotTimes
}

/**
 * The Job of a pilot: one pod, tried once, whose container `main` runs jobs that come by exec. It has as much of processors
 * and memory as its slots have together.
 */
export function pilotBody(input: PilotBodyInput, options: KubernetesOptions): V1Job {
  const { name, instance, pilots } = input
  const { annotations, pendingLimit, stagingLimit, stopGraceMs } = options
  const labels = { ...options.labels, [labelKeys.instance]: labelValue(instance), [pilotLabel]: name }
  const liveMs = pendingLimit + pilots.time + stagingLimit + endingMs
  const spec = {
    ...podSettings(options),
    terminationGracePeriodSeconds: Math.ceil((stopGraceMs + endingMs) / 1000),
    activeDeadlineSeconds: Math.min(Math.ceil(liveMs / 1000), 2_147_483_647),
    volumes: [{ name: jobVolume, emptyDir: {} }],
    initContainers: [staging(stagingContainers.in, layOutText(), options)],
    containers: [main(input, options), staging(stagingContainers.out, keepText(stagingLimit), options)],
  }
  return onePodJob({ name, labels, annotations, keptAfterEndSeconds, spec }, options)
}

function main({ pilots, times }: PilotBodyInput, options: KubernetesOptions): V1Container {
  const { slots } = pilots
  const { cpus, memory, limitsCpus } = options
  const cpu = cpus === undefined ? {} : { cpu: String(cpus * slots) }
  const bytes = memory === undefined ? {} : { memory: String(memory * slots) }
  const requests = { ...cpu, ...bytes }
  const limits = { ...(limitsCpus && cpu), ...bytes }
  const common = ours(options, [
    // No job changes what it shares with others, whoever it runs as.
    { name: jobVolume, subPath: 'shared', mountPath: `${pilotPlaces.root}/shared`, readOnly: true },
  ])
  return {
    ...common,
    name: mainContainer,
    image: options.image,
    command: [pilotPlaces.busybox, 'sh', '-c', loopScript({ slots, times })],
    ...(Object.keys(requests).length > 0 && {
      resources: { requests, ...(Object.keys(limits).length > 0 && { limits }) },
    }),
  }
}

function staging(name: string, text: string, options: KubernetesOptions): V1Container {
  return {
    ...ours(options, []),
    name,
    image: options.stagingImage,
    command: ['sh', '-c', text],
    resources: stagingResources(options),
  }
}
