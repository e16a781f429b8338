import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type {
  EnvironmentDefinition,
  Environments,
  ExecutionState,
  Executions,
  ExecutionSummary,
  JobPage,
  JobRow,
  Printing,
  StartRequest,
} from '../../src/engine/contract.ts'
import { sizeOfTree } from '../../src/files/tree-size.ts'
import { Problem } from '../../src/problem.ts'
import type { Plan } from '../../src/workflow/plan.ts'

export interface FakeExecution {
  state: ExecutionState
  output: string
  printing?: readonly Printing[]
  jobs: JobRow[]
  readonly workDirectory: string
}

/** Executions that keep their work directories and otherwise do what a test tells them. */
export interface FakeExecutions extends Executions {
  readonly all: Map<string, FakeExecution>
}

/** Work directories are made in `directory`. A script is good when it says `export default`. */
export function createFakeExecutions(directory: string): FakeExecutions {
  const all = new Map<string, FakeExecution>()
  const find = (id: string): FakeExecution => {
    const execution = all.get(id)
    if (execution === undefined) throw new Problem('execution-unknown', 'Execution not found')
    return execution
  }
  const receive = async (request: StartRequest): Promise<{ workDirectory: string; name: string }> => {
    await mkdir(directory, { recursive: true })
    const workDirectory = await mkdtemp(join(directory, 'execution-'))
    try {
      if (!('fill' in request)) throw new Error('The fake takes no directory.')
      const { script } = request
      await request.fill(workDirectory)
      const text = await readFile(join(workDirectory, script), 'utf8').catch(() => undefined)
      if (text === undefined) throw new Problem('script-missing', "The script doesn't exist")
      if (!text.includes('export default'))
        throw new Problem('script-invalid', 'The script exports no workflow.', { cause: scriptError() })
      return { workDirectory, name: createHash('sha256').update(text).digest('hex').slice(0, 8) }
    } catch (error) {
      await rm(workDirectory, { recursive: true, force: true })
      throw error
    }
  }
  return {
    all,
    async start(request) {
      const { workDirectory, name } = await receive(request)
      const id = `id-${all.size + 1}`
      all.set(id, { workDirectory, output: '', jobs: [], state: newState(id, name, request) })
      return id
    },
    async validate(request) {
      const { workDirectory, name } = await receive(request)
      await rm(workDirectory, { recursive: true })
      return emptyPlan(name, request.script)
    },
    state: (id) => find(id).state,
    ended: async (id) => find(id).state,
    output: async (id) => find(id).output,
    printing: async (id) => find(id).printing ?? [],
    async *events(id, after, signal) {
      find(id)
      yield { sequence: after + 1, time: 5, kind: 'started', data: {} }
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    },
    explain(id) {
      find(id)
      return [{ subject: 'walk', state: 'ready', reason: 'It waits for room on local.' }]
    },
    workDirectory: (id) => find(id).workDirectory,
    jobs: (id, query): JobPage => {
      const jobs = find(id)
        .jobs.filter(({ capsule }) => query.capsule === undefined || capsule === query.capsule)
        .filter(({ state }) => query.state === undefined || state === query.state)
        .filter((job) => job.id > (query.after ?? 0))
      const page = jobs.slice(0, query.limit)
      return { jobs: page, next: jobs.length > page.length ? (page.at(-1)?.id ?? null) : null }
    },
    async cancel(id) {
      const execution = find(id)
      execution.state = { ...execution.state, state: 'failed', isCancelled: true, endedAt: 2 }
    },
    async remove(id) {
      await rm(find(id).workDirectory, { recursive: true })
      all.delete(id)
      if (all.size === 0) await rmdir(directory)
    },
    storedBytes: async (id) => sizeOfTree(find(id).workDirectory),
    lookAgain: () => undefined,
    queueLength: 0,
    environments: createFakeEnvironments(),
    summary: (id) => find(id).state,
    list: ({ owner, labels = {} } = {}): readonly ExecutionSummary[] =>
      [...all.values()]
        .map(({ state }) => state)
        .filter((state) => owner === undefined || state.owner === owner)
        .filter((state) => Object.entries(labels).every(([name, value]) => state.labels[name] === value)),
    close: () => Promise.resolve(),
  }
}

/** Environments in memory; the kind `ssh` has the secret `password`, and `away` is one that cannot be reached. */
function createFakeEnvironments(): Environments {
  const kept = new Map<string, EnvironmentDefinition>()
  const find = (name: string): EnvironmentDefinition => {
    const found = kept.get(name)
    if (found !== undefined) return found
    throw new Problem('environment-unknown', `There is no environment named "${name}".`)
  }
  return {
    kinds: [
      { kind: 'local', secrets: [] },
      { kind: 'ssh', secrets: ['password'] },
    ],
    list: async () =>
      [...kept.values()].map(({ name, kind, options, secrets }) => ({
        name,
        kind,
        isNamed: true,
        options,
        secrets: Object.keys(secrets),
        capabilities: undefined,
        health: { state: 'unknown', message: 'It was not checked yet.', checkedAt: undefined },
        jobs: { ready: 0, submitted: 0, running: 0, done: 0, failed: 0 },
      })),
    async add(definition) {
      if (kept.has(definition.name) && !definition.isReplacing)
        throw new Problem('environment-conflict', `There is an environment named ${definition.name} already.`)
      kept.set(definition.name, definition)
      return { isInUse: false }
    },
    async check(name) {
      const isGood = find(name).name !== 'away'
      return [
        { what: 'host', isGood: true, message: 'It answers.' },
        {
          what: 'disk',
          isGood,
          message: isGood ? 'There is room.' : 'It is full.',
          ...(!isGood && { fix: 'Free some.' }),
        },
      ]
    },
    async remove(name) {
      find(name)
      kept.delete(name)
    },
  }
}

function scriptError(): Error {
  const error = new Error('boom')
  error.stack = 'Error: boom\n    at flow.ts:3:7'
  return error
}

function newState(id: string, name: string, request: StartRequest): ExecutionState {
  return {
    id,
    owner: request.owner ?? '',
    labels: request.labels ?? {},
    name,
    script: request.script,
    state: 'running',
    isCancelled: false,
    startedAt: 1,
    endedAt: null,
    counts: { ready: 0, running: 0, completed: 0, failed: 0 },
    capsules: [],
    environments: [],
  }
}

function emptyPlan(name: string, script: string): Plan {
  return {
    version: 1,
    name,
    script,
    steps: [
      {
        kind: 'capsule',
        name: 'model',
        scope: null,
        location: { file: script, line: 3, column: 1 },
        task: {
          kind: 'function',
          function: 'model',
          inputs: [{ name: 'x', type: { base: 'number', dimensions: 0 } }],
          outputs: [{ name: 'y', type: { base: 'file', dimensions: 2 } }],
        },
        environments: [0],
        groupSize: 1,
        retry: { limit: 3, delayMs: 1000, factor: 2 },
        timeoutMs: null,
        tolerance: 0,
        hooks: [],
      },
    ],
    transitions: [],
    environments: [{ name: 'local', kind: 'local', options: {} }],
  }
}
