import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ResultBringer, Sameness } from '../environment/sameness.ts'
import { openWay } from '../files/open-way.ts'
import { handOverFor } from '../files/hand-over.ts'
import { removeTree } from '../files/remove-tree.ts'
import type { ExecutionPaths } from '../job/command.ts'
import type { FunctionCall, FunctionHost, FunctionOutcome } from '../script/contract.ts'
import type { Context } from '../workflow/context.ts'
import type { PlanCapsule } from '../workflow/plan.ts'
import { callInputs, type JobResult } from './function-jobs.ts'
import type { Package, ResultPlace } from './package.ts'

export interface ComparisonParts {
  readonly host: FunctionHost
  readonly paths: ExecutionPaths
  readonly capsule: PlanCapsule & { readonly agree: string }
  readonly package: Package
  /** For files of both results meanwhile, below the execution's files: nobody else uses it. */
  readonly name: string
}

/** A function of a script that takes longer cannot tell. */
const comparisonMs = 60_000

/**
 * Whether two results of an attempt are the same, by the script's function, which runs where its functions run. What it
 * throws, takes too long for or says besides true and false makes it unclear. Rejects where no function can be called now.
 */
export async function compareResults(
  { host, paths, capsule, package: packed, name }: ComparisonParts,
  results: readonly [ResultBringer, ResultBringer],
  signal: AbortSignal,
): Promise<Sameness> {
  const directory = join(paths.filesDirectory, name)
  await removeTree(directory)
  try {
    const read = async (bring: ResultBringer, side: string): Promise<ReadResult> => {
      const place = { directory: join(directory, side), filesDirectory: join(directory, `${side}-files`) }
      for (const made of Object.values(place)) await mkdir(made, { recursive: true })
      const collected = await bring(place.directory, signal)
      const ends = await packed.open({ kind: 'exited', exitCode: 0, collected }, place)
      return { place, results: ends.map(({ result }) => result) }
    }
    const one = await read(results[0], 'one')
    const other = await read(results[1], 'other')
    const way = await openWay(paths.filesDirectory, [])
    try {
      await handOverFor(directory, way.handle)
    } finally {
      await way.handle.close()
    }
    return await compare(one, other)
  } finally {
    await removeTree(directory)
  }

  async function compare(one: ReadResult, other: ReadResult): Promise<Sameness> {
    const calls: FunctionCall[] = []
    for (const [index, left] of one.results.entries()) {
      const right = other.results[index]
      if (left.kind === 'outputs' && right?.kind === 'outputs')
        calls.push({
          inputs: { one: given(left.outputs, one.place), other: given(right.outputs, other.place) },
          directory,
        })
      else if (left.kind !== right?.kind || (left.kind === 'failure' && !isSameFailure(left, right)))
        return { kind: 'different' }
    }
    const outcomes = await host.call(capsule.agree, calls, { timeoutMs: comparisonMs, signal })
    const said = outcomes.map((outcome) => samenessOf(outcome, capsule))
    return (
      said.find(({ kind }) => kind === 'unclear') ??
      said.find(({ kind }) => kind === 'different') ?? { kind: 'same' }
    )
  }

  /** Outputs with files as paths: of this result where it left them, of the execution where it was given them. */
  function given(outputs: Context, { filesDirectory }: ResultPlace): Context {
    const { task } = capsule
    const inputs = task.outputs.map(({ name: output, type }) => ({ name: output, type }))
    const known = { kind: 'function', function: capsule.agree, inputs, outputs: [] } as const
    const own = callInputs(known, outputs, { ...paths, filesDirectory })
    const whole = callInputs(known, outputs, paths)
    return Object.fromEntries(
      Object.entries(own).map(([output, value]) => [
        output,
        typeof value === 'string' && !existsSync(value) ? (whole[output] ?? value) : value,
      ]),
    )
  }
}

interface ReadResult {
  readonly place: ResultPlace
  readonly results: readonly JobResult[]
}

function isSameFailure(one: JobResult, other: JobResult | undefined): boolean {
  return one.kind === 'failure' && other?.kind === 'failure' && one.message === other.message
}

function samenessOf(outcome: FunctionOutcome, { name }: PlanCapsule): Sameness {
  if (outcome.kind !== 'returned')
    return { kind: 'unclear', message: `The agree of ${name} cannot tell: ${outcome.message}` }
  if (typeof outcome.result !== 'boolean')
    return {
      kind: 'unclear',
      message: `The agree of ${name} returned ${typeof outcome.result}; expected true or false.`,
    }
  return { kind: outcome.result ? 'same' : 'different' }
}
