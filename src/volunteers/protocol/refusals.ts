import type { SchedulerReply, SchedulerRequest } from '../exchange.ts'

/** Older ones do not know what we send. */
const oldestMajorVersion = 7
const dayInSeconds = 86_400
const hourInSeconds = 3600

/**
 * What clients before version 7 are told, and nothing else: the part of the protocol that every client understands.
 * Undefined for others.
 */
export function replyToOldClient({
  clientVersion: { major, minor },
}: Pick<SchedulerRequest, 'clientVersion'>): SchedulerReply | undefined {
  if (major >= oldestMajorVersion) return undefined
  const text = `This project needs BOINC ${oldestMajorVersion} or later; yours is ${major}.${minor}.  To take part, install a newer BOINC.`
  // The word that makes it seen changed with 6.12.
  return refusal(text, dayInSeconds, major === 6 && minor > 11 ? 'notice' : 'high')
}

/** What a client is told whose authenticator is nobody's. */
export function replyToStranger(): SchedulerReply {
  return refusal('Invalid or missing account key.  To fix, remove and add this project.', hourInSeconds)
}

/** What is told to who sends something that is no request. */
export function replyToUnreadable(message: string): SchedulerReply {
  return refusal(`Error in request message: ${message}`, hourInSeconds, 'low')
}

/** What is told to who comes too often, or when there is no time for anybody. */
export function replyToWait(message: string, delaySeconds: number): SchedulerReply {
  return refusal(message, delaySeconds, 'low')
}

function refusal(
  text: string,
  requestDelaySeconds: number,
  priority: 'notice' | 'high' | 'low' = 'notice',
): SchedulerReply {
  return {
    requestDelaySeconds,
    nextRequestSeconds: 0,
    messages: [{ priority, text }],
    heldCodeSignKey: '',
    acknowledged: [],
    aborted: [],
    abortedIfNotStarted: [],
    deletedFiles: [],
    assignments: [],
  }
}
