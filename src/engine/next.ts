import type { Context } from '../workflow/context.ts'
import type { Activation, Effect, Exploration, Frame, RunEvent, RunState } from './state.ts'
import { makeFrame } from './state.ts'

/**
 * Takes one event into the state and says what is to be done. The only place where an execution moves. It does no
 * I/O and knows no clock: the same events in the same order give the same effects. `state` belongs to the caller and
 * is changed in place, as copying it per job would cost more than the job.
 */
export function next(state: RunState, event: RunEvent): readonly Effect[] {
  if (state.outcome !== 'running') return []
  const effects: Effect[] = []
  switch (event.kind) {
    case 'started':
      hold(state.root, () => {
        for (const root of state.graph.roots) fire(state, root, state.root, state.graph.given, effects)
      })
      settleIfDone(state, state.root, effects)
      break
    case 'opened':
      open(state, event, effects)
      break
    case 'wanted':
      beginSample(state, event.exploration, effects)
      break
    case 'completed':
      leave(state, event.activation, event.outputs, effects)
      break
    case 'failed':
      fail(state, event.activation, effects)
      break
    case 'gathered':
      deliverArrays(state, event, effects)
      break
  }
  return effects
}

function fire(state: RunState, step: number, frame: Frame, context: Context, effects: Effect[]): void {
  const kind = state.graph.steps[step]?.kind
  switch (kind) {
    case 'capsule':
      frame.active += 1
      effects.push({ kind: 'activate', activation: { step, frame, context } })
      return
    case 'explore': {
      frame.active += 1
      const exploration: Exploration = {
        step,
        frame,
        context,
        samples: undefined,
        isSettled: () => false,
        nextSample: 0,
        settled: 0,
        begun: 0,
        gathering: 0,
      }
      state.explorations.add(exploration)
      effects.push({ kind: 'open', exploration })
      return
    }
    case 'aggregate':
      frame.contributions.set(step, context)
      return
    case undefined:
      throw new Error(`The plan has no step ${step}.`)
  }
}

/** Passes a context along every transition that leaves a step. */
function deliver(state: RunState, step: number, frame: Frame, context: Context, effects: Effect[]): void {
  for (const { to, carries } of state.graph.leaving[step] ?? []) {
    const parcel = pick(context, carries)
    const needed = state.graph.arriving[to] ?? 1
    if (needed === 1) {
      fire(state, to, frame, parcel, effects)
      continue
    }
    const meeting = frame.meetings.get(to) ?? { arrived: 0, context: {} }
    meeting.arrived += 1
    meeting.context = { ...meeting.context, ...parcel }
    frame.meetings.set(to, meeting)
    if (meeting.arrived < needed) continue
    frame.meetings.delete(to)
    fire(state, to, frame, meeting.context, effects)
  }
}

function leave(state: RunState, activation: Activation, outputs: Context, effects: Effect[]): void {
  const { step, frame, context } = activation
  deliver(state, step, frame, { ...context, ...outputs }, effects)
  frame.active -= 1
  settleIfDone(state, frame, effects)
}

function fail(state: RunState, { step, frame }: Activation, effects: Effect[]): void {
  const failures = (state.failures[step] ?? 0) + 1
  state.failures[step] = failures
  const capsule = state.graph.steps[step]
  const tolerance = capsule?.kind === 'capsule' ? capsule.tolerance : 0
  if (failures > tolerance * (state.due[step] ?? 0)) {
    state.outcome = 'failed'
    effects.push({ kind: 'end', outcome: 'failed' })
    return
  }
  frame.active -= 1
  settleIfDone(state, frame, effects)
}

function open(state: RunState, event: RunEvent & { kind: 'opened' }, effects: Effect[]): void {
  const { exploration, samples, settled } = event
  exploration.samples = samples
  exploration.settled = settled?.count ?? 0
  if (settled !== undefined) exploration.isSettled = (sample) => settled.has(sample)
  for (const [index, step] of state.graph.steps.entries())
    if (step.scope === exploration.step) state.due[index] = (state.due[index] ?? 0) + samples.size
  closeIfDone(state, exploration, effects)
}

function beginSample(state: RunState, exploration: Exploration, effects: Effect[]): void {
  const { samples, step, context } = exploration
  if (samples === undefined) return
  while (exploration.nextSample < samples.size && exploration.isSettled(exploration.nextSample))
    exploration.nextSample += 1
  if (exploration.nextSample >= samples.size) return
  const sample = exploration.nextSample
  exploration.nextSample += 1
  exploration.begun += 1
  const outer = exploration.frame.ticket
  const frame = makeFrame(outer === '' ? String(sample) : `${outer}.${sample}`, sample, exploration)
  hold(frame, () => deliver(state, step, frame, { ...context, ...samples.at(sample) }, effects))
  settleIfDone(state, frame, effects)
}

function settleIfDone(state: RunState, frame: Frame, effects: Effect[]): void {
  if (frame.active > 0) return
  const { exploration } = frame
  if (exploration === undefined) {
    state.outcome = 'completed'
    effects.push({ kind: 'end', outcome: 'completed' })
    return
  }
  exploration.begun -= 1
  exploration.settled += 1
  effects.push({ kind: 'settle', exploration, sample: frame.sample, contributions: frame.contributions })
  closeIfDone(state, exploration, effects)
}

function closeIfDone(state: RunState, exploration: Exploration, effects: Effect[]): void {
  if (exploration.samples === undefined || exploration.settled < exploration.samples.size) return
  state.explorations.delete(exploration)
  const aggregations = state.graph.aggregations[exploration.step] ?? []
  exploration.gathering = aggregations.length
  for (const aggregation of aggregations) effects.push({ kind: 'gather', aggregation, exploration })
  if (aggregations.length === 0) release(state, exploration.frame, effects)
}

function deliverArrays(state: RunState, event: RunEvent & { kind: 'gathered' }, effects: Effect[]): void {
  const { aggregation, exploration, arrays } = event
  const step = state.graph.steps[aggregation]
  const keeps = step?.kind === 'aggregate' ? step.keeps : []
  deliver(state, aggregation, exploration.frame, { ...pick(exploration.context, keeps), ...arrays }, effects)
  exploration.gathering -= 1
  if (exploration.gathering === 0) release(state, exploration.frame, effects)
}

function release(state: RunState, frame: Frame, effects: Effect[]): void {
  frame.active -= 1
  settleIfDone(state, frame, effects)
}

/** Keeps a frame from being settled while its first steps are fired. */
function hold(frame: Frame, action: () => void): void {
  frame.active += 1
  action()
  frame.active -= 1
}

function pick(context: Context, names: readonly string[]): Context {
  const picked: Record<string, Context[string]> = {}
  for (const name of names) {
    const value = context[name]
    if (value !== undefined) picked[name] = value
  }
  return picked
}
