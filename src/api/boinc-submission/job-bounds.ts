import type { XmlElement } from '../xml.ts'
import { readNumber } from './read-number.ts'

/** What a job may need. Operations are floating point operations. */
export interface JobBounds {
  readonly operationsEstimate?: number
  readonly operationsBound?: number
  readonly memoryBytes?: number
  readonly diskBytes?: number
  readonly delaySeconds?: number
}

/** The limits that stand right below an element. */
export function readBounds(element: XmlElement | undefined): JobBounds {
  if (element === undefined) return {}
  const names = {
    operationsEstimate: 'rsc_fpops_est',
    operationsBound: 'rsc_fpops_bound',
    memoryBytes: 'rsc_memory_bound',
    diskBytes: 'rsc_disk_bound',
    delaySeconds: 'delay_bound',
  } as const
  return Object.fromEntries(
    Object.entries(names).flatMap(([key, name]) => {
      const number = readNumber(element, name)
      return number === undefined ? [] : [[key, number]]
    }),
  )
}
