import { z } from 'zod'
import { duration } from './option-shapes.ts'

/** Few batch jobs or pods that run many jobs each, instead of one for each. */
export const pilotOptions = z.strictObject({
  /** Most pilots in the queue or running. */
  count: z.int().min(1).max(1000),
  /** How many jobs a pilot runs at once. */
  slots: z.int().min(1).max(4096),
  /** Wall time of a pilot. */
  time: duration,
  /** How long a pilot stays when nothing comes. */
  idleMs: z.int().min(1000).max(86_400_000).default(60_000),
})
