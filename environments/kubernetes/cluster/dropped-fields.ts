import { lostFields } from './lost-fields.ts'

/**
 * Fields that Molehill sends to every server and needs from none: a Job that older servers replace a pod of is ended by
 * us, and its files go to no second pod; Jobs are deleted by `release`.
 */
const dispensable = /^spec\.(?:podReplacementPolicy|podFailurePolicy|ttlSecondsAfterFinished)(?:\.|$)/

/**
 * What to tell an operator about fields of a Job that the API server dropped without a word; undefined where it dropped
 * none that somebody asked for. `sent` and `kept` are Jobs.
 */
export function warningOfDropped(sent: unknown, kept: unknown): string | undefined {
  const dropped = lostFields(sent, kept).filter((path) => !dispensable.test(path))
  if (dropped.length === 0) return undefined
  const queue = dropped.includes('spec.suspend')
    ? ' Without spec.suspend, jobs start before their queue admits them.'
    : ''
  return `The API server does not know these fields of Jobs, and leaves them out: ${dropped.join(', ')}.${queue} Look at the options of this environment, above all template, and at the version of the cluster.`
}
