import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultResources } from '../../src/environment/batch/option-shapes.ts'
import {
  EnvironmentError,
  type Capabilities,
  type CheckFinding,
  type CollectedFiles,
  type Environment,
  type JobHandle,
  type JobId,
  type JobRequest,
  type KnownHost,
  type Observation,
  type SubmitOutcome,
} from '../../src/environment/environment.ts'
import { WorkTrees } from '../../src/environment/job-files/work-trees.ts'
import { refusalOf } from '../../src/environment/refusal.ts'
import type { ResultComparison } from '../../src/environment/sameness.ts'
import type { VolunteerProject, WorkunitProgress } from '../../src/environment/volunteers.ts'
import type { JobEnd } from '../../src/volunteers/result-record.ts'
import { startResultUnpacker } from '../../src/volunteers/unpack-results.ts'
import { bundleSize, groupAlike, openJobsAtFirst, slices } from './bundles.ts'
import { Comparisons } from './compare.ts'
import { FiledWorks, type FiledWork, type JobPlace } from './filed-work.ts'
import { Filing, type Prepared } from './filing.ts'
import { describeHosts, inspectHosts, shownHosts } from './inspect.ts'
import { cancelled, observationOf, observationOfEnd } from './observation.ts'
import type { BoincOptions } from './options.ts'
import { Programs } from './programs.ts'
import { Results } from './results.ts'

export interface BoincEnvironmentParts {
  readonly project: VolunteerProject
  readonly options: BoincOptions
  readonly directory: string
  readonly ownPlatform: string | undefined
  readonly now: () => number
}

const honoured = ['cpus', 'memoryBytes', 'wallTimeMs'] as const
const dayMs = 24 * 3_600_000
/** Of the newest end in the average. */
const weight = 0.2

/** Hosts of volunteers: an attempt, or a bundle of short ones, is a workunit of the server's project. */
export class BoincEnvironment implements Environment {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #parts: BoincEnvironmentParts
  readonly #works: FiledWorks
  readonly #filing: Filing
  readonly #results: Results
  readonly #unpacker = startResultUnpacker()
  readonly #comparisons: Comparisons
  /** How long jobs of an execution take: only sizes of bundles hang on it. */
  readonly #jobMs = new Map<string, number>()
  readonly #measured = new Set<string>()
  #isClosed = false

  constructor(name: string, parts: BoincEnvironmentParts) {
    this.name = name
    this.#parts = parts
    const { options, directory, project, ownPlatform } = parts
    this.capabilities = {
      survivesRestart: true,
      sharedFileSystem: false,
      watch: true,
      resources: honoured,
      maxJobsPerSubmit: 1000,
      maxActiveJobs: options.maxActiveJobs,
      pollInterval: { minMs: 1000, maxMs: 15_000, stepMs: 1000 },
    }
    this.#works = new FiledWorks(join(directory, 'work'))
    this.#results = new Results(join(directory, 'results'), this.#unpacker)
    this.#comparisons = new Comparisons(join(directory, 'compared'), this.#unpacker)
    const programs = new Programs({ project, options, directory: join(directory, 'programs'), ownPlatform })
    this.#filing = new Filing({
      environment: name,
      options,
      programs,
      trees: new WorkTrees(),
      directory: join(directory, 'inputs'),
    })
  }

  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    // Without any host jobs wait, which is no error.
    await this.#parts.project.hosts(1)
  }

  async inspect(signal: AbortSignal): Promise<readonly CheckFinding[]> {
    signal.throwIfAborted()
    return inspectHosts(await this.#parts.project.hosts(shownHosts), this.#parts.now())
  }

  async hosts(signal: AbortSignal): Promise<readonly KnownHost[]> {
    signal.throwIfAborted()
    return describeHosts(await this.#parts.project.hosts(shownHosts), this.#parts.now())
  }

  async submit(
    requests: readonly JobRequest[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, SubmitOutcome>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const outcomes = new Map<JobId, SubmitOutcome>()
    const fit: JobRequest[] = []
    for (const request of requests) {
      const reason = refusalOf(request, honoured)
      const known = this.#works.find(request.id)
      if (reason !== undefined) outcomes.set(request.id, { kind: 'rejected', reason })
      else if (known !== undefined) {
        await this.#parts.project.file([known.work.workunit])
        outcomes.set(request.id, { kind: 'accepted', handle: handleOf(request.id, known) })
      } else {
        const resources = { ...defaultResources(this.#parts.options), ...request.resources }
        fit.push({ ...request, resources })
      }
    }
    const works: FiledWork[] = []
    for (const bundle of await this.#bundles(fit, outcomes)) {
      const prepared = await this.#prepare(bundle, signal)
      if (prepared.kind === 'work') works.push(prepared.work)
      else for (const { id } of bundle) outcomes.set(id, prepared)
    }
    for (const some of slices(works, 50)) await Promise.all(some.map((work) => this.#works.keep(work)))
    await this.#parts.project.file(works.map(({ workunit }) => workunit))
    for (const { jobs } of works)
      for (const { id } of jobs) {
        const place = this.#works.find(id)
        if (place !== undefined) outcomes.set(id, { kind: 'accepted', handle: handleOf(id, place) })
      }
    return outcomes
  }

  async observe(
    handles: readonly JobHandle[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<JobId, Observation>> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const places = handles.map(({ id }) => ({ id, place: this.#works.find(id) }))
    const names = new Set(places.flatMap(({ place }) => place?.work.workunit.name ?? []))
    const progress = await this.#parts.project.progressOf([...names])
    const observations = new Map<JobId, Observation>()
    for (const { id, place } of places)
      observations.set(
        id,
        place === undefined
          ? { kind: 'lost', message: 'Nothing is known of the job (any more).' }
          : await this.#observeOne(place, progress.get(place.work.workunit.name)),
      )
    return observations
  }

  async cancel(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const wished = new Set(handles.map(({ id }) => id))
    const names = new Set(handles.flatMap(({ id }) => this.#works.find(id)?.work.workunit.name ?? []))
    const progress = await this.#parts.project.progressOf([...names])
    const over: string[] = []
    for (const name of names) {
      const work = this.#works.get(name)
      const kind = progress.get(name)?.kind
      if (work === undefined || (kind !== 'queued' && kind !== 'running')) continue
      const jobs = work.jobs.map((job) => (wished.has(job.id) ? { ...job, isCancelled: true } : job))
      await this.#works.keep({ ...work, jobs })
      if (jobs.every(({ isCancelled }) => isCancelled === true)) over.push(name)
    }
    await this.#parts.project.cancel(over)
  }

  async collect(handle: JobHandle, directory: string, signal: AbortSignal): Promise<CollectedFiles> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const place = this.#works.find(handle.id)
    if (place === undefined)
      throw new EnvironmentError(`Nothing is known of the job ${handle.id} (any more).`)
    const { name } = place.work.workunit
    const progress = (await this.#parts.project.progressOf([name])).get(name)
    return progress?.kind === 'done' && place.job.isCancelled !== true
      ? this.#results.collect(place, progress.archive, directory, signal)
      : this.#results.nothing(place)
  }

  async release(handles: readonly JobHandle[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const released = new Set(handles.map(({ id }) => id))
    const names = new Set(handles.flatMap(({ id }) => this.#works.find(id)?.work.workunit.name ?? []))
    const over: FiledWork[] = []
    for (const name of names) {
      const work = this.#works.get(name)
      if (work === undefined) continue
      const jobs = work.jobs.map((job) => (released.has(job.id) ? { ...job, isReleased: true } : job))
      if (jobs.every(({ isReleased }) => isReleased === true)) over.push(work)
      else await this.#works.keep({ ...work, jobs })
    }
    await this.#remove(over)
  }

  async recover(ids: readonly JobId[], signal: AbortSignal): Promise<readonly JobHandle[]> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    const places = ids.flatMap((id) => this.#works.find(id) ?? [])
    // What the project knows stays as it is: it was filed before a crash, or is now.
    await this.#parts.project.file(
      [...new Set(places.map(({ work }) => work))].map(({ workunit }) => workunit),
    )
    return places.map((place) => handleOf(place.job.id, place))
  }

  watch(changed: (ids: readonly JobId[]) => void, signal: AbortSignal): void {
    this.#parts.project.watch((names) => {
      const ids = names.flatMap((name) => this.#works.get(name)?.jobs.map(({ id }) => id) ?? [])
      if (ids.length > 0) changed(ids)
    }, signal)
  }

  compareWith(ask: ResultComparison, signal: AbortSignal): void {
    this.#parts.project.compareWith(async (pair, asking) => {
      const work = this.#works.get(pair.name)
      if (work === undefined) return undefined
      return this.#comparisons.compare(work, pair, ask, AbortSignal.any([signal, asking]))
    }, signal)
  }

  async discard(workDirectory: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#mustBeOpen()
    await this.#remove(this.#works.ofExecution(workDirectory))
    this.#jobMs.delete(workDirectory)
    this.#filing.forget(workDirectory)
    await rm(this.#filing.directoryOf(workDirectory), { recursive: true, force: true })
  }

  /** The project is the server's: hosts go on. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#unpacker.close()
  }

  async #bundles(
    requests: readonly JobRequest[],
    outcomes: Map<JobId, SubmitOutcome>,
  ): Promise<readonly (readonly JobRequest[])[]> {
    if (requests.length === 0) return []
    const { project, options, now } = this.#parts
    const hosts = await project.hosts(shownHosts)
    const hostCpus = hosts
      .filter(({ lastContact }) => now() - lastContact < dayMs)
      .reduce((sum, { cpus }) => sum + cpus, 0)
    return groupAlike(requests).flatMap((alike) => {
      const workDirectory = alike[0]?.workDirectory ?? ''
      const jobMs = this.#jobMs.get(workDirectory)
      let now = alike
      if (options.by === undefined && jobMs === undefined) {
        const room = Math.max(0, openJobsAtFirst(hostCpus) - this.#works.ofExecution(workDirectory).length)
        now = alike.slice(0, room)
        const reason = 'It is not known yet how long such a job takes: more go out when the first have ended.'
        for (const { id } of alike.slice(room)) outcomes.set(id, { kind: 'deferred', reason })
      }
      return slices(now, bundleSize({ fixed: options.by, jobMs, waiting: now.length, hostCpus }))
    })
  }

  async #prepare(bundle: readonly JobRequest[], signal: AbortSignal): Promise<Prepared> {
    const jobMs = this.#jobMs.get(bundle[0]?.workDirectory ?? '')
    return this.#filing.prepare(bundle, jobMs, signal)
  }

  async #observeOne(
    { work, position, job }: JobPlace,
    progress: WorkunitProgress | undefined,
  ): Promise<Observation> {
    if (job.isCancelled === true) return cancelled
    if (progress === undefined)
      return { kind: 'lost', message: 'The project does not know the job (any more).' }
    if (progress.kind !== 'done') return observationOf(progress)
    const { name } = work.workunit
    let end: JobEnd | undefined
    try {
      end = (await this.#results.record(name, progress.archive)).ends.get(position)
    } catch (error) {
      return { kind: 'unclear', message: `The result cannot be read: ${String(error)}` }
    }
    if (end !== undefined && !this.#measured.has(job.id))
      this.#measure(job.id, work.workDirectory, end.seconds)
    return observationOfEnd(end, progress.host)
  }

  #measure(id: JobId, workDirectory: string, seconds: number): void {
    this.#measured.add(id)
    // Times come in whole seconds.
    const jobMs = Math.max(500, seconds * 1000)
    const known = this.#jobMs.get(workDirectory)
    this.#jobMs.set(workDirectory, known === undefined ? jobMs : (1 - weight) * known + weight * jobMs)
  }

  async #remove(works: readonly FiledWork[]): Promise<void> {
    const names = works.map(({ workunit }) => workunit.name)
    if (names.length === 0) return
    await this.#parts.project.cancel(names)
    await this.#parts.project.remove(names)
    for (const work of works) {
      await this.#results.forget(work.workunit.name)
      const own = work.workunit.inputs.filter(({ keptMs }) => keptMs === undefined)
      for (const { path } of own) await rm(path, { force: true })
      for (const { id } of work.jobs) this.#measured.delete(id)
      this.#works.forget(work)
    }
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new EnvironmentError(`The environment ${this.name} is closed.`)
  }
}

function handleOf(id: JobId, { work, position }: JobPlace): JobHandle {
  const { name } = work.workunit
  return { id, nativeId: work.jobs.length === 1 ? name : `${name}/${position}`, state: { version: 1 } }
}
