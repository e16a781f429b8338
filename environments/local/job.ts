import { statSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { JobHandle, JobRequest, Observation, StopCause } from '../../src/environment/environment.ts'
import { showBytes } from './show-bytes.ts'
import type { Launcher, LauncherEnding } from './launcher.ts'
import { signalName } from '../../src/environment/signal-name.ts'
import type { DirectoryReader } from '../../src/environment/view.ts'

/** Why we end a job that still runs. */
export interface StopWish {
  readonly cause: StopCause
  readonly message: string
}

/** One job of this environment, from its submission to its release. */
export class LocalJob {
  readonly request: JobRequest
  readonly handle: JobHandle
  /** How many slots it takes while it runs. */
  readonly slots: number
  readonly read: DirectoryReader
  observation: Observation = { kind: 'queued' }
  /** Its job directory, once it was made. */
  directory: string | undefined
  /** How it ended by itself, as a shell tells it: a signal is 128 and its number. */
  endCode: number | undefined
  /** Settles when the job is over. */
  readonly over: Promise<void>
  readonly #settleOver: () => void
  readonly #changed: (job: LocalJob) => void
  #pid: number | undefined
  #launcher: Launcher | undefined
  readonly #printedBytes: number | undefined
  #wish: StopWish | undefined
  #wishGraceMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    request: JobRequest,
    { slots, printedBytes }: { readonly slots: number; readonly printedBytes: number | undefined },
    read: DirectoryReader,
    changed: (job: LocalJob) => void,
  ) {
    this.request = request
    this.handle = { id: request.id, nativeId: request.id, state: { version: 1 } }
    this.slots = slots
    this.#printedBytes = printedBytes
    this.read = read
    this.#changed = changed
    const { promise, resolve } = Promise.withResolvers<void>()
    this.over = promise
    this.#settleOver = resolve
  }

  get isOver(): boolean {
    return this.observation.kind !== 'queued' && this.observation.kind !== 'running'
  }

  /** Starts the job; `freed` is called when the launcher can take the next one. */
  run(launcher: Launcher, directory: string, text: string, stopGraceMs: number, freed: () => void): void {
    const { wallTimeMs } = this.request.resources
    this.directory = directory
    this.#launcher = launcher
    launcher.run(this.request.id, basename(directory), text, {
      started: (pid) => {
        this.#pid = pid
        this.#become({ kind: 'running' })
        if (this.#wish !== undefined) this.#terminate()
        else if (wallTimeMs !== undefined)
          this.#timer = setTimeout(() => {
            this.stop({ cause: 'timeout', message: `It ran longer than ${wallTimeMs} ms.` }, stopGraceMs)
          }, wallTimeMs)
      },
      ended: (ending) => {
        freed()
        this.#pid = undefined
        this.checkPrinted()
        this.#become(this.#observationOf(ending))
      },
    })
  }

  /** Asks the processes of the job to end, and kills them when `graceMs` have passed. A second wish changes nothing. */
  stop(wish: StopWish, graceMs: number): void {
    if (this.isOver || this.#wish !== undefined) return
    this.#wish = wish
    this.#wishGraceMs = graceMs
    if (this.#pid !== undefined) this.#terminate()
  }

  /** Ends the job if it has printed more than it may. */
  checkPrinted(): void {
    const { directory } = this
    const limit = this.#printedBytes
    if (limit === undefined || directory === undefined || this.#wish !== undefined) return
    const isTooMuch = ['stdout', 'stderr'].some(
      (log) => (statSync(join(directory, log), { throwIfNoEntry: false })?.size ?? 0) > limit,
    )
    if (isTooMuch)
      this.stop({ cause: 'limit', message: `It printed more than ${showBytes(limit)} (--task-output).` }, 0)
  }

  /** Ends a job that no launcher has, or has any more. */
  conclude(observation: Observation): void {
    this.kill()
    this.#pid = undefined
    this.#become(observation)
  }

  /** Kills the processes of the job at once. */
  kill(): void {
    this.#signal('SIGKILL')
  }

  #terminate(): void {
    clearTimeout(this.#timer)
    this.#signal('SIGTERM')
    this.#timer = setTimeout(() => this.kill(), this.#wishGraceMs)
  }

  #signal(signal: 'SIGTERM' | 'SIGKILL'): void {
    if (this.#pid !== undefined) this.#launcher?.signal(this.#pid, signal)
  }

  #become(observation: Observation): void {
    if (this.isOver) return
    this.observation = observation
    if (this.isOver) {
      clearTimeout(this.#timer)
      this.#settleOver()
    }
    this.#changed(this)
  }

  #observationOf(ending: LauncherEnding): Observation {
    if (this.#wish !== undefined) return { kind: 'stopped', ...this.#wish }
    this.endCode = ending.kind === 'exited' ? ending.exitCode : 128 + ending.signal
    if (ending.kind === 'exited') return { kind: 'exited', exitCode: ending.exitCode }
    return { kind: 'stopped', cause: 'signal', message: `It was ended by ${signalName(ending.signal)}.` }
  }
}
