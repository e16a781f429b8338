import { setTimeout as pause } from 'node:timers/promises'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import { ApiError } from '../cluster/api-errors.ts'
import { carrierBody, carrierContainer, carrierLabel, usedMark } from './carrier-body.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { execInPod, promptMs, type ExecCommand } from '../cluster/exec.ts'
import { instanceSelector } from '../pods/names.ts'
import type { KubernetesOptions } from '../options.ts'
import { usedText } from '../scripts/volume-scripts.ts'
import { isOverWaiting, waitingOf, wordsOf } from '../pods/waiting.ts'
import type { WireJob, WirePod } from '../cluster/wire.ts'

export interface CarrierParts {
  readonly cluster: Cluster
  readonly options: KubernetesOptions & { readonly volume: string }
  readonly instance: string
  /** Random letters and digits. */
  readonly newMark: () => string
  readonly now: () => number
}

/** Text that was run in the pod has failed, such as for want of room. */
export const refusedInClaim = 'RefusedInClaim'

const pollMs = 300
/** Looking at many files takes its time. */
const silenceMs = 300_000
const closeMs = 5000

/** A pod that has the claim mounted, made when it is needed; it ends by itself when nobody needs it for a while. */
export class Carrier {
  readonly #parts: CarrierParts
  #name: string | undefined
  #hasCleared = false
  #starting: Promise<string> | undefined

  constructor(parts: CarrierParts) {
    this.#parts = parts
  }

  /** Runs shell text with words in the pod. Throws EnvironmentError where there can be no pod, and ApiError. */
  async run(
    text: string,
    words: readonly string[],
    signal: AbortSignal,
    { stdin, output }: Pick<ExecCommand, 'stdin' | 'output'> = {},
  ): Promise<string> {
    const { cluster } = this.#parts
    const running = this.#starting === undefined ? await this.#running(signal) : undefined
    const pod = running ?? (await this.#startOnce(signal))
    const argv = ['sh', '-c', `${usedText(usedMark)}${text}`, 'sh', ...words]
    const command = { pod, container: carrierContainer, argv, stdin, output, silenceMs, firstMs: promptMs }
    const result = await execInPod(cluster, command, signal)
    if (result.exitCode === 0) return result.stdout
    const { volume } = this.#parts.options
    const why = result.stderr.trim() || `exit code ${result.exitCode}`
    throw new ApiError({
      status: 0,
      reason: refusedInClaim,
      message: `Nothing can be done in the claim ${volume}: ${why}`,
    })
  }

  /** Deletes the pod. */
  async close(): Promise<void> {
    const name = this.#name
    if (name === undefined) return
    this.#name = undefined
    await this.#delete(name, AbortSignal.timeout(closeMs)).catch(() => undefined)
  }

  /** Name of its pod, if that runs. */
  async #running(signal: AbortSignal): Promise<string | undefined> {
    const name = this.#name
    if (name === undefined) return undefined
    const pod = await this.#pod(name, signal)
    if (pod !== undefined && isRunning(pod)) return pod.metadata?.name
    await this.#delete(name, signal)
    if (this.#name === name) this.#name = undefined
    return undefined
  }

  /** Who comes meanwhile waits for the same pod. */
  #startOnce(signal: AbortSignal): Promise<string> {
    this.#starting ??= this.#start(signal).finally(() => (this.#starting = undefined))
    return this.#starting
  }

  async #start(signal: AbortSignal): Promise<string> {
    const { cluster, options, instance, newMark, now } = this.#parts
    await this.#clear(signal)
    const name = `mh-carrier-${newMark().toLowerCase()}`
    // There are no times in it, which the client's types would have as dates.
    const body = carrierBody({ name, instance }, options) as unknown as WireJob
    await cluster.jobs.create(body, signal)
    this.#name = name
    try {
      const deadline = now() + options.pendingLimit
      for (;;) {
        const pod = await this.#pod(name, signal)
        if (pod !== undefined && isRunning(pod) && pod.metadata?.name !== undefined) return pod.metadata.name
        const why = reasonNotToWait(pod, now() > deadline, options, now())
        if (why !== undefined)
          throw new EnvironmentError(
            `No pod can bring files into the claim ${options.volume}.${wordsOf(why)}`,
          )
        await pause(pollMs, undefined, { signal })
      }
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Those that an earlier life of the server has left. */
  async #clear(signal: AbortSignal): Promise<void> {
    if (this.#hasCleared) return
    const { cluster, instance } = this.#parts
    const labelSelector = `${instanceSelector(instance)},${carrierLabel}`
    const { items } = await cluster.jobs.list({ labelSelector }, signal)
    for (const { metadata } of items)
      if (metadata?.name !== undefined) await this.#delete(metadata.name, signal)
    this.#hasCleared = true
  }

  async #pod(name: string, signal: AbortSignal): Promise<WirePod | undefined> {
    const labelSelector = `${instanceSelector(this.#parts.instance)},${carrierLabel}=${name}`
    const { items } = await this.#parts.cluster.pods.list({ labelSelector }, signal)
    return items.find(isRunning) ?? items[0]
  }

  async #delete(name: string, signal: AbortSignal): Promise<void> {
    await this.#parts.cluster.jobs.delete(name, { propagationPolicy: 'Background' }, signal)
    const pod = (await this.#pod(name, signal))?.metadata?.name
    if (pod !== undefined) await this.#parts.cluster.pods.delete(pod, { gracePeriodSeconds: 1 }, signal)
  }
}

function isRunning({ metadata, status }: WirePod): boolean {
  const state = status?.containerStatuses?.find(({ name }) => name === carrierContainer)?.state
  return state?.running !== undefined && metadata?.deletionTimestamp === undefined
}

/** Why no pod is waited for any longer; undefined where it may still come. */
function reasonNotToWait(
  pod: WirePod | undefined,
  isLate: boolean,
  { pendingLimit }: KubernetesOptions,
  now: number,
): string | undefined {
  const waiting = pod === undefined ? undefined : waitingOf(pod)
  if (pod?.status?.phase === 'Failed' || pod?.status?.phase === 'Succeeded')
    return pod.status.message ?? 'its pod ended at once'
  if (waiting !== undefined && isOverWaiting(waiting, { pendingLimitMs: pendingLimit }, now))
    return waiting.text
  return isLate ? (waiting?.text ?? 'its Job has no pod') : undefined
}
