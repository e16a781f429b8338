import { z } from 'zod'
import type { ExecutionEvent } from '../../engine/contract.ts'
import { executionsOf, type OwnExecutions } from '../access/executions-of.ts'
import { rawRoute, type Call, type Route } from '../route.ts'
import { executionParameters } from './parameters.ts'

const parameters = z.object({
  ...executionParameters.shape,
  after: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .meta({ description: 'The id of the last event known. The header `Last-Event-ID` says the same.' }),
})

/** A sign of life for proxies that cut quiet connections. */
const pingMs = 20_000

export function eventRoutes(executions: OwnExecutions): readonly Route[] {
  return [
    rawRoute({
      method: 'POST',
      path: '/events',
      summary: 'What happens to an execution, as it happens: server-sent events that can be resumed.',
      access: 'token',
      parameters,
      problems: ['parameter-missing', 'parameter-invalid', 'execution-unknown'],
      answer: {
        status: 200,
        description:
          'Committed events, each with its place in the journal as id. Ends when the execution has ended.',
        contentType: 'text/event-stream',
      },
      handle: (call) => streamEvents(executions, call),
    }),
  ]
}

function streamEvents(executions: OwnExecutions, call: Call<z.output<typeof parameters>>): Response {
  const { id, after = lastEventId(call) } = call.parameters
  const stop = new AbortController()
  const signal = AbortSignal.any([call.signal, call.stopping, stop.signal])
  const events = executionsOf(executions, call.principal).events(id, after, signal)[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  let ping: NodeJS.Timeout | undefined
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode('retry: 2000\n\n'))
      ping = setInterval(() => {
        // A client that reads too slowly needs no signs of life.
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(': still here\n\n'))
      }, pingMs)
    },
    // One event a pull: a client that does not read makes nothing pile up here.
    async pull(controller) {
      const next = await events.next()
      if (next.done !== true) controller.enqueue(encoder.encode(describeEvent(next.value)))
      else {
        clearInterval(ping)
        controller.close()
      }
    },
    async cancel() {
      clearInterval(ping)
      stop.abort()
      await events.return?.()
    },
  })
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store, no-transform',
      'X-Accel-Buffering': 'no',
    },
  })
}

/** One event as the HTML standard writes it; JSON has no line breaks of its own. */
function describeEvent({ sequence, kind, time, data }: ExecutionEvent): string {
  return `id: ${sequence}\nevent: ${kind}\ndata: ${JSON.stringify({ time, ...data })}\n\n`
}

function lastEventId({ header }: Call): number {
  const given = Number(header('Last-Event-ID') ?? 0)
  return Number.isSafeInteger(given) && given > 0 ? given : 0
}
