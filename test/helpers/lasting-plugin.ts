import { plugin as local } from '../../environments/local/index.ts'
import type { Environment, JobId } from '../../src/environment/environment.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'

/** Stands for a computer elsewhere whose jobs outlive the server, and what was asked of it. */
export interface LastingPlugin extends AsyncDisposable {
  readonly plugin: EnvironmentPlugin
  /** Ids of attempts in the order in which they were submitted. */
  readonly submitted: JobId[]
  readonly discarded: string[]
  /** While set, every call throws it. */
  outage: Error | undefined
  /** While set, what is submitted is put off with these words. */
  refusal: string | undefined
  /** Called when a submit has reached the environment, before the answer goes back. */
  afterSubmit: (() => Promise<void>) | undefined
}

/** A fake environment of the kind `lasting`: the local one, kept open from one life of an engine to the next. */
export function makeLastingPlugin(options: { readonly lostAfterOutageMs?: number } = {}): LastingPlugin {
  const inner = new Map<string, Promise<Environment>>()
  const lasting: LastingPlugin = {
    submitted: [],
    discarded: [],
    outage: undefined,
    refusal: undefined,
    afterSubmit: undefined,
    plugin: {
      kind: 'lasting',
      options: local.options,
      async create(name, given, context) {
        const found = inner.get(context.directory) ?? local.create(name, given as never, context)
        inner.set(context.directory, found)
        return wrap(await found)
      },
    },
    async [Symbol.asyncDispose]() {
      for (const environment of inner.values()) await (await environment).close()
    },
  }

  function wrap(environment: Environment): Environment {
    const asked = (): void => {
      if (lasting.outage !== undefined) throw lasting.outage
    }
    return {
      name: environment.name,
      capabilities: {
        ...environment.capabilities,
        ...options,
        survivesRestart: true,
        pollInterval: { minMs: 50, maxMs: 200, stepMs: 50 },
      },
      async check(signal) {
        asked()
        await environment.check(signal)
      },
      async submit(requests, signal) {
        asked()
        const { refusal } = lasting
        if (refusal !== undefined)
          return new Map(requests.map(({ id }) => [id, { kind: 'deferred', reason: refusal }]))
        lasting.submitted.push(...requests.map(({ id }) => id))
        const outcomes = await environment.submit(requests, signal)
        await lasting.afterSubmit?.()
        return outcomes
      },
      async observe(handles, signal) {
        asked()
        return environment.observe(handles, signal)
      },
      async cancel(handles, signal) {
        asked()
        await environment.cancel(handles, signal)
      },
      async collect(handle, directory, signal) {
        asked()
        return environment.collect(handle, directory, signal)
      },
      async release(handles, signal) {
        asked()
        await environment.release(handles, signal)
      },
      async recover(ids, signal) {
        asked()
        return environment.recover(ids, signal)
      },
      async discard(workDirectory) {
        asked()
        lasting.discarded.push(workDirectory)
      },
      close: async () => undefined,
    }
  }

  return lasting
}
