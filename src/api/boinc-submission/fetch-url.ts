import { createHash } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import { open } from 'node:fs/promises'
import { request as requestHttp, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { isPublicAddress } from './public-address.ts'
import { refuse } from './refuse.ts'

/** From where files may be fetched, and how much. */
export interface FetchRules {
  /**
   * Names of hosts, as in URLs, with a port where that is not the usual one. `*` is every host whose addresses are
   * public; a host named here may have any address.
   */
  readonly hosts: readonly string[]
  readonly bytesAtMost: number
  /** Longest silence of a server. */
  readonly idleMs: number
  /** All addresses of a host. */
  readonly resolve: (hostname: string) => Promise<readonly LookupAddress[]>
}

export interface FetchedFile {
  readonly bytes: number
  readonly md5: string
}

const mostRedirects = 3

/**
 * Fetches a file over HTTP or HTTPS to a path that is not there yet. Connects only to the address that was checked, so
 * that a name which changes its address leads nowhere else, and checks every redirect as the first URL.
 * Throws Problem in the words of the protocol.
 */
export async function fetchUrl(
  source: string,
  path: string,
  rules: FetchRules,
  signal: AbortSignal,
): Promise<FetchedFile> {
  let url = readUrl(source)
  for (let redirects = 0; redirects <= mostRedirects; redirects += 1) {
    const response = await get(url, rules, signal)
    const { statusCode = 0, headers } = response
    if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
      response.destroy()
      url = readUrl(headers.location, url)
      continue
    }
    if (statusCode !== 200) {
      response.destroy()
      throw refuse(`can't copy file from ${shown(url)}: the server answered ${statusCode}`)
    }
    return await keep(response, path, url, rules, signal)
  }
  throw refuse(`can't copy file from ${shown(url)}: more than ${mostRedirects} redirects`)
}

function readUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href)
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw refuse(`can't copy file from ${text.slice(0, 200)}: expected a URL of http or https`)
  if (url.username !== '' || url.password !== '')
    throw refuse(`can't copy file from ${shown(url)}: a URL must hold no password`)
  return url
}

async function get(url: URL, rules: FetchRules, signal: AbortSignal): Promise<IncomingMessage> {
  const address = await chooseAddress(url, rules)
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const lookup: LookupFunction = (_hostname, options, callback) => {
    if (options.all === true) callback(null, [address])
    else callback(null, address.address, address.family)
  }
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
    lookup,
    agent: false,
    signal,
    timeout: rules.idleMs,
    headers: { 'user-agent': 'Molehill', 'accept-encoding': 'identity' },
  })
  request.on('timeout', () => request.destroy(new Error(`no byte came for ${rules.idleMs / 1000} s`)))
  request.on('error', (cause) =>
    reject(refuse(`can't copy file from ${shown(url)}: ${cause.message}`, cause)),
  )
  request.on('response', (response) => resolve(response))
  request.end()
  return promise
}

async function chooseAddress(url: URL, rules: FetchRules): Promise<LookupAddress> {
  const { host } = url
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const isNamed = rules.hosts.includes(host)
  if (!isNamed && !rules.hosts.includes('*'))
    throw refuse(`can't copy file from ${shown(url)}: the operator does not allow files from ${host}`)
  const family = isIP(hostname)
  let found: readonly LookupAddress[]
  try {
    found = family === 0 ? await rules.resolve(hostname) : [{ address: hostname, family }]
  } catch (cause) {
    throw refuse(`can't copy file from ${shown(url)}: ${host} is not found`, cause)
  }
  const [address] = found
  // One private address among public ones is how names are made that lead inside.
  if (address === undefined || (!isNamed && !found.every((each) => isPublicAddress(each.address))))
    throw refuse(`can't copy file from ${shown(url)}: ${host} has no public address`)
  return address
}

async function keep(
  response: IncomingMessage,
  path: string,
  url: URL,
  { bytesAtMost }: FetchRules,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const md5 = createHash('md5')
  let bytes = 0
  const file = await open(path, 'wx', 0o600)
  try {
    await pipeline(
      response,
      async function* count(chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          bytes += chunk.length
          if (bytes > bytesAtMost) throw new Error(`it is larger than ${bytesAtMost} bytes`)
          md5.update(chunk)
          yield chunk
        }
      },
      file.createWriteStream({ flush: true }),
      { signal },
    )
    return { bytes, md5: md5.digest('hex') }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : ''
    throw refuse(`can't copy file from ${shown(url)}: ${reason}`, cause)
  } finally {
    await file.close().catch(() => undefined)
  }
}

function shown(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`.slice(0, 200)
}
