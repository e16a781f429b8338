import type { V1Job } from '@kubernetes/client-node'
import { podSettings, stagingResources } from '../pods/job-body.ts'
import { labelKeys, labelValue } from '../pods/names.ts'
import type { KubernetesOptions } from '../options.ts'
import { podPlaces } from '../scripts/places.ts'
import { claimVolume, jobVolume, withOverlay, type Json } from '../pods/template.ts'
import { carrierText } from '../scripts/volume-scripts.ts'

/** The label of what has the claim mounted; its value is the name of the Job. */
export const carrierLabel = 'molehill/carrier'
export const carrierContainer = 'carrier'
/** Where the claim is. */
export const claimRoot = '/volume'
export const usedMark = `${podPlaces.root}/used`
const idleMs = 600_000

/** A Job whose one pod has the claim mounted and does nothing: programs are run in it. */
export function carrierBody(
  { name, instance }: { readonly name: string; readonly instance: string },
  options: KubernetesOptions & { readonly volume: string },
): V1Job {
  const labels = {
    ...options.labels,
    [labelKeys.instance]: labelValue(instance),
    [carrierLabel]: name,
  }
  const { annotations, imagePullPolicy, securityContext, stagingImage, volume } = options
  const spec = {
    ...podSettings(options),
    terminationGracePeriodSeconds: 1,
    volumes: [
      { name: jobVolume, emptyDir: {} },
      { name: claimVolume, persistentVolumeClaim: { claimName: volume } },
    ],
    containers: [
      {
        name: carrierContainer,
        image: stagingImage,
        command: ['sh', '-c', carrierText(idleMs, usedMark)],
        resources: stagingResources(options),
        ...(imagePullPolicy !== undefined && { imagePullPolicy }),
        volumeMounts: [
          { name: jobVolume, mountPath: podPlaces.root },
          { name: claimVolume, mountPath: claimRoot },
        ],
        ...(securityContext?.restricted === true && {
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        }),
      },
    ],
  }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, labels, annotations },
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit: 0,
      ttlSecondsAfterFinished: 600,
      template: withOverlay({ metadata: { labels, annotations }, spec }, overlayOf(options)),
    },
  }
}

/** What the overlay says of where pods run, and not of what is in those of jobs. */
function overlayOf({ template }: KubernetesOptions): { readonly [key: string]: Json } {
  const given = template as { readonly [key: string]: Json }
  const spec = given['spec']
  if (typeof spec !== 'object' || spec === null || Array.isArray(spec)) return given
  const ofJobs = new Set(['containers', 'initContainers', 'volumes'])
  return { ...given, spec: Object.fromEntries(Object.entries(spec).filter(([key]) => !ofJobs.has(key))) }
}
