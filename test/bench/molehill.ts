import { setTimeout as delay } from 'node:timers/promises'
import type { z } from 'zod'
import { outputAnswer, startAnswer, stateAnswer, tokenAnswer } from '../../src/cli/remote/answers.ts'
import { tarGzip } from '../helpers/tar.ts'

/** A server as its REST clients see it. */
export interface Molehill {
  /** Posts a packed work directory that holds `workflow.ts`; answers with the id of the execution. */
  start(archive: Blob): Promise<string>
  /** Resolves with the number of completed jobs. Throws when the execution fails. */
  awaitEnd(id: string): Promise<number>
  output(id: string): Promise<string>
  remove(id: string): Promise<void>
}

const pollMs = 50

export async function openMolehill(url: string, password: string): Promise<Molehill> {
  let token = ''
  const post = async (route: string, fields: Record<string, string>, archive?: Blob): Promise<string> => {
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.set(name, value)
    if (archive !== undefined) form.set('workDirectory', archive, 'work.tgz')
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`${url}/${route}`, { method: 'POST', headers, body: form })
    const text = await response.text()
    if (!response.ok) throw new Error(`/${route} answered ${response.status}: ${text}`)
    return text
  }
  const ask = async <Schema extends z.ZodType>(
    schema: Schema,
    ...request: Parameters<typeof post>
  ): Promise<z.output<Schema>> => schema.parse(JSON.parse(await post(...request)))
  token = (await ask(tokenAnswer, 'token', { password })).token
  return {
    start: async (archive) => (await ask(startAnswer, 'start', { script: 'workflow.ts' }, archive)).id,
    async awaitEnd(id) {
      for (;;) {
        const { state, error, completed = 0 } = await ask(stateAnswer, 'state', { id })
        if (state === 'finished') return completed
        if (state === 'failed')
          throw new Error(`The execution failed: ${error?.message ?? 'nobody knows why'}`)
        await delay(pollMs)
      }
    },
    output: async (id) => (await ask(outputAnswer, 'output', { id })).output,
    remove: async (id) => void (await post('remove', { id })),
  }
}

/** A work directory with a script and nothing else. */
export function packScript(script: string): Blob {
  return new Blob([new Uint8Array(tarGzip([{ name: 'workflow.ts', content: script }]))])
}
