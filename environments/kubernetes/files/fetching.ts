import { EnvironmentError, type JobId } from '../../../src/environment/environment.ts'
import type { FileDesk } from '../../../src/environment/file-desk.ts'
import type { PluginContext } from '../../../src/environment/plugin.ts'
import { openFetchTokens, type FetchTokens } from './fetch-token.ts'
import type { KubernetesOptions } from '../options.ts'

/** How pods fetch their files from this server. */
export interface Fetching {
  /** Where pods reach the server. */
  readonly from: string
  readonly tokens: FetchTokens
  readonly desk: FileDesk
}

/** Undefined where files are brought. Throws EnvironmentError where nobody can ask the server for any. */
export async function openFetching(
  { fetchFrom: from }: Pick<KubernetesOptions, 'fetchFrom'>,
  { directory, fileDesk: desk }: Pick<PluginContext, 'directory' | 'fileDesk'>,
): Promise<Fetching | undefined> {
  if (from === undefined) return undefined
  if (desk === undefined)
    throw new EnvironmentError('No pod can ask this server for files: leave the option fetchFrom out.')
  return { from, tokens: await openFetchTokens(directory), desk }
}

/** What the pod of a job must know to fetch its files. */
export function fetchOf({ from, tokens }: Fetching, instance: string, id: JobId) {
  return { address: `${from.replace(/\/$/, '')}/job-files/${instance}/${id}`, token: tokens.of(id) }
}
