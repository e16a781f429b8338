import type { Host } from '../host.ts'
import type { JobFiles, JobFilesOptions } from './job-files.ts'
import { RemoteJobFiles } from './remote-job-files.ts'
import { SharedJobFiles } from './shared-job-files.ts'

/** The files of jobs on this host: where it sees the server's files nothing travels. */
export function openJobFiles(host: Host, options: JobFilesOptions): JobFiles {
  return host.sharesFiles ? new SharedJobFiles(host, options) : new RemoteJobFiles(host, options)
}
