import { z } from 'zod'

/** The execution that a request is about. */
export const executionParameters = z.object({
  id: z.string('id is missing').meta({ description: 'The execution, as /start answered.' }),
})
