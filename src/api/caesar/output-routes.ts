import { basename, extname } from 'node:path'
import { z } from 'zod'
import { packDirectory } from '../../files/pack.ts'
import { openInside, type OpenedInside } from '../../files/safe-open.ts'
import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import { sendFile } from '../send-file.ts'
import { rawRoute, type Call, type Route } from '../route.ts'
import { streamBody } from '../stream-body.ts'
import { CaesarRefusal, jsonAnswer } from './answers.ts'
import { asAttachment, contentTypeOf } from './file-routes.ts'
import { findJob } from './find-job.ts'
import { isUnknown } from './jobs.ts'
import type { CaesarRooms } from './parts.ts'
import { openProduct, productRoles, readProduct, type Product } from './products.ts'
import { hasEnded, type StoredJob } from './stored-jobs.ts'

/** What a job has left: all of it, and what its app declares. */
export function outputRoutes(rooms: CaesarRooms): readonly Route[] {
  const { catalog, executions } = rooms
  const shared = {
    method: 'GET',
    access: 'token',
    parameters: z.object({}),
    problems: ['file-missing'],
  } as const

  /** Answers with what `send` makes of a job that has ended; else says that it is too early. */
  const ofEnded =
    (send: (job: StoredJob, own: OwnExecutions, call: Call) => Promise<Response>) =>
    async (call: Call): Promise<Response> => {
      const job = findJob(rooms, call)
      const { id, state } = job
      if (!hasEnded(job))
        return jsonAnswer(
          { job_id: id, status: `Job ${id} not yet completed (state=${state}), output not available` },
          202,
        )
      return send(job, executionsOf(executions, call.principal), call)
    }

  const product = (name: Product, summary: string, contentType: string): Route =>
    rawRoute({
      ...shared,
      path: `/job/:id/${name}`,
      summary,
      answer: { status: 200, description: '202 with JSON while the job has not ended.', contentType },
      handle: ofEnded(async (job, own, call) => {
        const { execution, id, app } = job
        const entry = await catalog.find(app).catch(() => undefined)
        if (entry === undefined || execution === undefined || !isKept(own, execution)) throw noOutput(id)
        const directory = own.workDirectory(execution)
        const opened = await openProduct(entry.description, productRoles[name], directory)
        if (opened === undefined) throw noOutput(id)
        return sendProduct(name, id, opened, call)
      }),
    })

  return [
    rawRoute({
      ...shared,
      path: '/job/:id/output',
      audit: 'download',
      summary: 'All files of a job that has ended, as tar.gz.',
      answer: {
        status: 200,
        description: 'The archive; 202 with JSON while the job has not ended.',
        contentType: 'application/x-tar',
      },
      handle: ofEnded(async (job, own, call) => {
        const { execution, id } = job
        if (execution === undefined || !isKept(own, execution)) throw noOutput(id)
        const directory = own.workDirectory(execution)
        const additions = {
          'output.log': await own.output(execution),
          'error.log': withoutPath(own.state(execution).error?.message ?? '', directory),
        }
        const opened = await openInside(directory, '').catch(() => {
          throw noOutput(id)
        })
        const archive = packDirectory(opened, undefined, { folder: `job_${id}`, additions })
        return new Response(streamBody(archive, call), {
          headers: {
            'content-type': 'application/x-tar',
            'content-disposition': `attachment; filename=job_${id}.tar.gz`,
          },
        })
      }),
    }),
    product('sources', 'The sources that were found, as JSON.', 'application/json'),
    product('source-components', 'The components of sources, as JSON.', 'application/json'),
    product('output-sources', 'The sources that were found, as a table.', 'application/octet-stream'),
    product('output-components', 'The components of sources, as a table.', 'application/octet-stream'),
    product('preview', 'The preview picture as base64 in JSON.', 'application/json'),
    product('output-plot', 'The preview picture.', 'image/png'),
  ]
}

async function sendProduct(name: Product, id: string, opened: OpenedInside, call: Call): Promise<Response> {
  const fileName = basename(opened.path)
  switch (name) {
    case 'sources':
    case 'source-components': {
      const content = String(await readProduct(opened))
      try {
        JSON.parse(content)
      } catch {
        throw new CaesarRefusal(500, `Failed to convert file ${fileName} to json string (err=no JSON)!`, {
          job_id: id,
        })
      }
      return new Response(content, { headers: { 'content-type': 'application/json' } })
    }
    case 'preview':
      return jsonAnswer({ image: (await readProduct(opened)).toString('base64'), status: '' })
    case 'output-sources':
    case 'output-components':
    case 'output-plot': {
      const contentType = contentTypeOf(extname(fileName).slice(1))
      return asAttachment(await sendFile(opened, false, call), fileName, contentType, call)
    }
  }
}

function isKept(own: OwnExecutions, execution: string): boolean {
  try {
    own.summary(execution)
    return true
  } catch (error) {
    if (isUnknown(error)) return false
    throw error
  }
}

function noOutput(id: string): CaesarRefusal {
  return new CaesarRefusal(404, `Cannot find desired output for job ${id}!`, { job_id: id })
}

/** Where the server keeps its files is nobody's business. */
function withoutPath(message: string, directory: string): string {
  return message.replaceAll(directory, '.')
}
