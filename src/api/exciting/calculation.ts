import type { Principal } from '../access/principal.ts'

/** Calculations of users, each known by the SHA-1 of its input.xml. */
export interface Calculations {
  /** One of a user, or of the operator; undefined where there is none. */
  find(principal: Principal, hash: string): Promise<Calculation | undefined>
  /** Starts one where there is none. Resolves when it is committed. */
  start(principal: Principal, hash: string, input: Uint8Array, signal: AbortSignal): Promise<void>
}

export interface Calculation {
  /** What was posted, byte for byte. */
  input(): Promise<Buffer>
  status(signal: AbortSignal): Promise<CalculationStatus>
  /** Its files as far as they are there, by name. Throws Problem file-missing where they are too large together. */
  files(): Promise<readonly CalculationFile[]>
  /** Ends it when it runs, and deletes all of it. */
  remove(signal: AbortSignal): Promise<void>
}

export interface CalculationStatus {
  readonly state: CalculationState
  /** What the place where it runs calls the job; empty where it has not said. */
  readonly jobId: string
  /** What there is to tell to people, text or XML. */
  readonly detail: string
}

export type CalculationState = 'queued' | 'running' | 'finished' | 'failed' | 'cancelled' | 'unknown'

export interface CalculationFile {
  readonly name: string
  readonly content: Buffer
}

/** Files of a calculation together: more is not put into an answer. */
export const mostFileBytes = 256 * 2 ** 20
