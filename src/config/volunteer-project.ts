import { hostname } from 'node:os'
import { join } from 'node:path'
import { Problem } from '../problem.ts'
import type { Configuration } from './options.ts'

/** Where everything of the project lies. */
export function volunteerDirectories({ dataDirectory }: Pick<Configuration, 'dataDirectory'>) {
  const directory = join(dataDirectory, 'volunteers')
  return { directory, keys: join(directory, 'keys'), database: join(directory, 'project.db') }
}

/** Clients compare it with what they are attached to, so it is the same in every reply. */
export function readMasterUrl({
  volunteerUrl,
  http,
  host,
  port,
  boincPath,
}: Pick<Configuration, 'volunteerUrl' | 'http' | 'host' | 'port' | 'boincPath'>): string {
  if (volunteerUrl === undefined) {
    if (port === 0)
      throw new Problem('configuration-invalid', 'Volunteers cannot find a server on port 0.', {
        hint: 'Name the URL that they reach with volunteer-url, or set port.',
      })
    const isAny = host === '0.0.0.0' || host === '::'
    const name = isAny ? hostname() : host
    return `${http ? 'http' : 'https'}://${name.includes(':') ? `[${name}]` : name}:${port}${boincPath}/`
  }
  return readProjectUrl('volunteer-url', volunteerUrl)
}

/** Where the project has moved to; undefined where it has not. */
export function readMovedTo({
  volunteerMovedTo,
}: Pick<Configuration, 'volunteerMovedTo'>): string | undefined {
  return volunteerMovedTo === undefined ? undefined : readProjectUrl('volunteer-moved-to', volunteerMovedTo)
}

function readProjectUrl(option: string, text: string): string {
  const url = URL.parse(text)
  const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (url === null || !isWeb || url.search !== '' || url.hash !== '' || url.username !== '')
    throw new Problem(
      'configuration-invalid',
      `Expected a URL such as https://molehill.example/boinc/ as ${option}, got ${JSON.stringify(text.slice(0, 200))}.`,
    )
  return url.href.replace(/\/*$/, '/')
}
