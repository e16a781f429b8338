import type { JobId } from '../../../src/environment/environment.ts'
import type { PilotJobs } from './jobs.ts'
import type { PilotLink } from './link.ts'
import type { PilotNews } from './news.ts'

/** Jobs that were there for sure when a pilot began to tell what it has, and those that it has. */
interface PilotList {
  readonly before: ReadonlySet<JobId>
  readonly present: Set<JobId>
}

/** Makes stages of jobs from what pilots say. */
export class Hearing {
  readonly #jobs: PilotJobs
  /** Of pilots that are telling what they have. */
  readonly #lists = new Map<PilotLink, PilotList>()

  constructor(jobs: PilotJobs) {
    this.#jobs = jobs
  }

  /** Nothing will come of this pilot any more. */
  forget(link: PilotLink): void {
    this.#lists.delete(link)
  }

  /** Says whether there may be something to do now. */
  hear(link: PilotLink, news: PilotNews): boolean {
    const jobs = this.#jobs
    const { uid, host } = link.pod
    const list = this.#lists.get(link)
    if ('id' in news) list?.present.add(news.id)
    switch (news.kind) {
      case 'begin': {
        const there = jobs.of(uid).filter(({ stage }) => stage !== 'going')
        this.#lists.set(link, { before: new Set(there.map(({ id }) => id)), present: new Set() })
        return false
      }
      case 'waiting':
        if (jobs.get(news.id)?.stage === 'unheard') jobs.arrived(news.id, uid)
        return false
      case 'started':
        jobs.started(news.id, uid, host)
        break
      case 'ended':
        jobs.ended(news.id, uid, news.end, host)
        break
      case 'cancelled':
        jobs.ended(news.id, uid, 'cancelled', host)
        break
      case 'refused':
        link.refused.add(jobs.get(news.id)?.seconds ?? 0)
        if (jobs.get(news.id)?.pilot === uid) jobs.back(news.id)
        break
      case 'listed':
        if (list !== undefined) this.#listed(link, list.before, list.present)
        break
      case 'content':
      case 'closed':
        break
    }
    if (link.isClosed && link.isListed)
      for (const { id, stage } of jobs.of(uid).toReversed()) if (stage === 'there') jobs.back(id)
    return true
  }

  /** What the pilot does not have any more, or never had. */
  #listed(link: PilotLink, before: ReadonlySet<JobId>, present: ReadonlySet<JobId>): void {
    const jobs = this.#jobs
    this.#lists.delete(link)
    for (const { id, stage } of jobs.of(link.pod.uid).toReversed()) {
      if (present.has(id) || !before.has(id)) continue
      if (stage === 'there' || stage === 'unheard') jobs.back(id)
      else if (stage === 'running')
        jobs.stop(id, {
          kind: 'stopped',
          cause: 'node-failure',
          message: 'Its directory in the pilot is gone.',
        })
    }
    // Of jobs that were released while nobody could be told.
    const unknown = [...present].filter((id) => jobs.get(id)?.pilot !== link.pod.uid)
    if (unknown.length > 0) link.release(unknown)
  }
}
