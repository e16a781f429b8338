import { readMasterUrl } from '../../config/volunteer-project.ts'
import type { Place } from './place.ts'

/** What volunteers attach to, as the server's options tell; those of the command line alone, this cannot know. */
export function readUrl({ configuration }: Place): string {
  const { port, volunteerUrl } = configuration
  return port === 0 && volunteerUrl === undefined ? 'URL' : readMasterUrl(configuration)
}
