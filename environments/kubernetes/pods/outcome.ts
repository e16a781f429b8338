import type { SubmitOutcome } from '../../../src/environment/environment.ts'
import type { ApiError } from '../cluster/api-errors.ts'

/** What an error of the API server means for the job whose Job was to be made. */
export type SubmitMeaning =
  | { readonly kind: 'outcome'; readonly outcome: Exclude<SubmitOutcome, { readonly kind: 'accepted' }> }
  /** There is one of this name: read it, and see whose it is. */
  | { readonly kind: 'exists' }
  /** It may have been made: read it by its name. Not there means deferred, since a late one only answers `exists`. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** The environment itself cannot be used: the message of an EnvironmentError. */
  | { readonly kind: 'environment'; readonly message: string }

type Telling = Pick<ApiError, 'status' | 'reason' | 'message' | 'details'>

/** Reads the answer to the creation of a Job in `namespace`. */
export function meaningOf(error: Telling, namespace: string): SubmitMeaning {
  const { status, reason, message } = error
  switch (status) {
    case 0:
      return { kind: 'unknown', reason: message }
    case 400:
    case 413:
    case 422:
      return rejected(message)
    case 409:
      // Two requests met at the quota or at another object.
      return reason === 'AlreadyExists' ? { kind: 'exists' } : deferred(error)
    case 401:
      return { kind: 'environment', message: `The cluster refuses the credentials: ${message}` }
    case 403:
      return forbidden(error, namespace)
    case 404:
      return { kind: 'environment', message: notFound(error, namespace) }
    default:
      if (status === 408 || status === 429 || status >= 500) return deferred(error)
      return { kind: 'environment', message }
  }
}

function forbidden(error: Telling, namespace: string): SubmitMeaning {
  const { message, details } = error
  if (message.includes('exceeded quota')) return deferred(error)
  // A policy of the cluster speaks of this Job, not of us.
  if (/admission webhook .* denied the request|ValidatingAdmissionPolicy .* denied request/.test(message))
    return rejected(message)
  const isEnding =
    message.includes('because it is being terminated') ||
    details?.causes?.some(({ reason }) => reason === 'NamespaceTerminating') === true
  if (isEnding)
    return {
      kind: 'environment',
      message: `The namespace ${namespace} is being deleted: no Job can be made in it.`,
    }
  return {
    kind: 'environment',
    message: `No Job may be made in the namespace ${namespace}: ${message} A Role must allow it: molehill environment check names what is missing.`,
  }
}

function notFound({ reason, message, details }: Telling, namespace: string): string {
  if (details?.kind === 'namespaces' || /namespaces? ".*" not found/.test(message))
    return `There is no namespace ${namespace} in the cluster.`
  return reason === 'Unreadable' ? message : `The cluster knows no Jobs of batch/v1 there: ${message}`
}

/** Whether a Job that is there already is ours from an earlier try: it has all these labels. */
export function isJobOf(
  found: { readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } },
  labels: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(labels).every(([key, value]) => found.metadata?.labels?.[key] === value)
}

function rejected(reason: string): SubmitMeaning {
  return { kind: 'outcome', outcome: { kind: 'rejected', reason } }
}

function deferred({ message }: Telling): SubmitMeaning {
  return { kind: 'outcome', outcome: { kind: 'deferred', reason: message } }
}
