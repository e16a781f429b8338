import { z } from 'zod'
import { listDirectory } from '../../files/list-directory.ts'
import { openInside } from '../../files/safe-open.ts'
import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import { jsonRoute, rawRoute, type Route } from '../route.ts'
import { executionParameters } from './parameters.ts'
import { sendDirectory } from './send-directory.ts'
import { binary, sendFile } from '../send-file.ts'

const path = z
  .string()
  .default('')
  .meta({ description: 'Relative to the work directory, which is what the empty path means.' })

const entrySchema = z.object({
  name: z.string(),
  type: z.enum(['file', 'directory', 'link', 'other']),
  size: z.int().meta({ description: 'In bytes.' }),
  mtime: z.int().meta({ description: 'When it was last changed.' }),
})

/** What gives access to the files of an execution. */
export function fileRoutes(executions: OwnExecutions, gzipByDefault: boolean): readonly Route[] {
  const gzip = z
    .stringbool()
    .optional()
    .meta({ description: 'Send a file as gzip bytes, without Content-Encoding, as OpenMOLE 9.2 did.' })
  const problems = ['parameter-missing', 'execution-unknown', 'file-missing', 'path-unsafe'] as const
  return [
    rawRoute({
      method: 'POST',
      path: '/download',
      audit: 'download',
      summary: 'A file as it is, or a directory as tar.gz.',
      access: 'token',
      parameters: z.object({ ...executionParameters.shape, path, gzip }),
      problems: [...problems, 'parameter-invalid', 'range-invalid'],
      answer: {
        status: 200,
        description: 'The bytes; 206 with a part when a range was asked for.',
        contentType: binary,
      },
      async handle(call) {
        const { id, path, gzip = gzipByDefault } = call.parameters
        call.note({ object: `${id}/${path}` })
        const opened = await openInside(executionsOf(executions, call.principal).workDirectory(id), path)
        return opened.stats.isDirectory() ? sendDirectory(opened, call) : await sendFile(opened, gzip, call)
      },
    }),
    jsonRoute({
      method: 'POST',
      path: '/files',
      summary: 'What lies in a directory.',
      access: 'token',
      parameters: z.object({ ...executionParameters.shape, path }),
      problems,
      answer: { status: 200, description: 'The entries by name.', schema: z.array(entrySchema) },
      async handle({ parameters, principal }) {
        const workDirectory = executionsOf(executions, principal).workDirectory(parameters.id)
        const entries = await listDirectory(workDirectory, parameters.path)
        return entries.map(({ name, type, sizeBytes, modifiedAt }) => ({
          name,
          type,
          size: sizeBytes,
          mtime: Math.round(modifiedAt.getTime()),
        }))
      },
    }),
  ]
}
