import { rmSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { NotYet, ResultComparison, Sameness } from '../../src/environment/sameness.ts'
import type { ArchivePair } from '../../src/environment/volunteers.ts'
import { removeTree } from '../../src/files/remove-tree.ts'
import { readRecord } from '../../src/volunteers/result-archive.ts'
import type { JobEnd } from '../../src/volunteers/result-record.ts'
import type { ResultUnpacker } from '../../src/volunteers/unpack-results.ts'
import type { FiledWork } from './filed-work.ts'
import { gather } from './results.ts'

/** Compares results of volunteers' hosts, each job of a bundle by whoever asked for it. */
export class Comparisons {
  readonly #directory: string
  readonly #unpacker: ResultUnpacker

  /** `directory` is for what is unpacked meanwhile; what an earlier life of the server left there is removed. */
  constructor(directory: string, unpacker: ResultUnpacker) {
    this.#directory = directory
    this.#unpacker = unpacker
    rmSync(directory, { recursive: true, force: true })
  }

  /** Throws where a result cannot be unpacked now. */
  async compare(
    work: FiledWork,
    { left, right }: ArchivePair,
    ask: ResultComparison,
    signal: AbortSignal,
  ): Promise<Sameness | NotYet> {
    const [ours, theirs] = await Promise.all([readRecord(left), readRecord(right)])
    const places = work.jobs.map((_, index) => index + 1)
    if (places.some((place) => !isSameEnd(ours.ends.get(place), theirs.ends.get(place))))
      return { kind: 'different' }
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    const scratch = await mkdtemp(join(this.#directory, 'pair-'))
    try {
      const [one, other] = [join(scratch, 'one'), join(scratch, 'other')]
      await this.#unpacker.unpack(left, one)
      await this.#unpacker.unpack(right, other)
      signal.throwIfAborted()
      for (const [index, job] of work.jobs.entries()) {
        const position = index + 1
        // How others ended is all that there is of them.
        if (!isGoodEnd(ours.ends.get(position)) || job.isCancelled === true) continue
        const bring = (unpacked: string) => (directory: string) =>
          gather({ work, position, job }, unpacked, directory)
        const sameness = await ask(job.id, [bring(one), bring(other)], signal)
        if (sameness.kind !== 'same') return sameness
      }
      return { kind: 'same' }
    } finally {
      await removeTree(scratch)
    }
  }
}

function isSameEnd(one: JobEnd | undefined, other: JobEnd | undefined): boolean {
  return one?.kind === other?.kind && one?.code === other?.code
}

function isGoodEnd(end: JobEnd | undefined): boolean {
  return end?.kind === 'exited' && end.code === 0
}
