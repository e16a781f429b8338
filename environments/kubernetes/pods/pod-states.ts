import { cancelledAnnotation } from './names.ts'
import { mainContainer, stagingContainers } from './template.ts'
import type { WirePod } from '../cluster/wire.ts'

/** Whether it was asked to end. The time of asking must stay: what ended before it ended by itself. */
export function isCancelled({ metadata }: WirePod): boolean {
  return metadata?.annotations?.[cancelledAnnotation] !== undefined
}

export function hasEnded({ status }: WirePod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed'
}

/** Whether the job has ended by itself and its outputs can be fetched. */
export function isKeeping({ status }: WirePod): boolean {
  const stateOf = (name: string) => status?.containerStatuses?.find((each) => each.name === name)?.state
  return (
    stateOf(mainContainer)?.terminated !== undefined && stateOf(stagingContainers.out)?.running !== undefined
  )
}
