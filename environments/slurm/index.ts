import { z } from 'zod'
import {
  batchOptionsShape,
  batchSecrets,
  refuseOptionsInVain,
} from '../../src/environment/batch/batch-options.ts'
import { openBatchEnvironment } from '../../src/environment/batch/open-batch-environment.ts'
import { sshOperatorOnly } from '../../src/environment/ssh/options.ts'
import { oneLine } from '../../src/environment/batch/option-shapes.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { directiveShape } from './options.ts'
import { restQueue } from './rest-queue.ts'
import { hasArrays } from './rest-shapes.ts'
import { slurmScheduler } from './scheduler.ts'

const options = z
  .strictObject({
    ...batchOptionsShape,
    ...directiveShape,
    /** Talks to slurmrestd instead of running commands. Files still go by `host`, or are shared. */
    rest: z
      .strictObject({
        /** `http://head:6820`; needed unless there is a socket. */
        url: z.url({ protocol: /^https?$/ }).optional(),
        /** Absolute path of slurmrestd's unix socket on the server's own computer. */
        socket: oneLine.regex(/^\//, { error: 'expected an absolute path' }).optional(),
        apiVersion: z.string().regex(/^v0\.0\.(3[6-9]|4\d)$/, { error: 'expected v0.0.36 or newer' }),
        /** For whom jobs are submitted; belongs to the token. */
        user: oneLine.optional(),
      })
      .refine(({ url, socket }) => (url === undefined) !== (socket === undefined), {
        error: 'expected either url or socket',
      })
      .optional(),
    /** Slurm's token for slurmrestd (JWT). */
    token: oneLine.max(8192).optional(),
  })
  .superRefine(refuseOptionsInVain)
  .superRefine(({ rest, extraDirectives, token }, context) => {
    if (rest !== undefined && extraDirectives.length > 0)
      context.addIssue({
        code: 'custom',
        path: ['extraDirectives'],
        message: 'slurmrestd reads no directives: leave rest or extraDirectives out',
      })
    if (rest?.url !== undefined && token === undefined)
      context.addIssue({
        code: 'custom',
        path: ['token'],
        message: 'is needed for rest.url, as a secret of a named environment',
      })
  })

export type SlurmOptions = z.output<typeof options>

/** Slurm, by its commands here or behind SSH, or through slurmrestd. */
export const plugin: EnvironmentPlugin<SlurmOptions> = {
  kind: 'slurm',
  options,
  secrets: [...batchSecrets, 'token'],
  operatorOnly: sshOperatorOnly,
  async create(name, options, context) {
    const { rest, token } = options
    const scheduler = slurmScheduler(options)
    if (rest === undefined) return openBatchEnvironment(name, scheduler, options, context)
    const queue = restQueue({
      address: {
        url: rest.url ?? 'http://localhost',
        ...(rest.socket !== undefined && { socket: rest.socket }),
        ...(rest.user !== undefined && { user: rest.user }),
        ...(token !== undefined && { token }),
      },
      apiVersion: rest.apiVersion,
      directives: options,
    })
    const batchSizeAtMost = hasArrays(rest.apiVersion) ? scheduler.batchSizeAtMost : 1
    return openBatchEnvironment(name, { ...scheduler, batchSizeAtMost }, options, context, { queue })
  },
}
