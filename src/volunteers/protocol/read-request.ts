import { Problem } from '../../problem.ts'
import type { HostFacts, SchedulerRequest } from '../exchange.ts'
import { readResults, type ReadResults } from './read-results.ts'
import { elementsOf, fieldsOf, numberOf, textOf } from './scan.ts'

const begin = '<scheduler_request>'
const end = '</scheduler_request>'
/** A request has nothing before it but perhaps a declaration, and nothing behind it but white space. */
const marginBytes = 1000
/** So many tasks a client never has; it asks for no more work with a thousand of them. */
const mostNames = 20_000
const mostPlatforms = 20
const longestName = 255
const longestText = 500
const longestPreferences = 65_536
const longestKey = 2000

/**
 * What a client says, as it came over HTTP: bytes, a character each (latin1). Spellings of the protocol's first text and of today's clients are both
 * read; what is not known is passed over; a number that is none counts as 0. Throws Problem body-invalid for what is
 * no request or only the beginning of one.
 */
export function readRequest(text: string): SchedulerRequest {
  const first = text.slice(0, marginBytes).indexOf(begin)
  if (first === -1)
    throw new Problem('body-invalid', `Expected a request that begins with ${begin}, got something else.`)
  const last = text.lastIndexOf(end)
  if (last < first || text.length - last > marginBytes)
    throw new Problem('body-invalid', `Expected a request that ends with ${end}: a part of it is missing.`)
  const { results, rest } = readResults(text, first + begin.length, last)
  return assemble(collect(rest), results)
}

interface Collected {
  /** Elements of the request itself; the first of a name. */
  readonly fields: Map<string, string>
  readonly alternativePlatforms: string[]
  readonly stickyFiles: string[]
}

function collect(parts: readonly string[]): Collected {
  const collected: Collected = { fields: new Map(), alternativePlatforms: [], stickyFiles: [] }
  const { fields, alternativePlatforms, stickyFiles } = collected
  for (const part of parts)
    for (const { name, content } of elementsOf(part))
      if (name === 'alt_platform') {
        if (alternativePlatforms.length < mostPlatforms) alternativePlatforms.push(nameIn(content))
      } else if (name === 'file_info') {
        if (stickyFiles.length < mostNames) stickyFiles.push(nameIn(content))
      } else if (!fields.has(name)) fields.set(name, content)
  return collected
}

function assemble(
  { fields, alternativePlatforms, stickyFiles }: Collected,
  results: ReadResults['results'],
): SchedulerRequest {
  const whole = (name: string) => Math.trunc(numberOf(fields.get(name), 0))
  const platforms = [textOf(fields.get('platform_name'), longestName), ...alternativePlatforms]
  return {
    authenticator: textOf(fields.get('authenticator'), longestName),
    hostId: whole('hostid'),
    sequenceNumber: whole('rpc_seqno'),
    clientVersion: {
      major: whole('core_client_major_version'),
      minor: whole('core_client_minor_version'),
      release: whole('core_client_release'),
    },
    platforms: platforms.filter((platform) => platform !== ''),
    wanted: readWish(fields),
    codeSignKey: (fields.get('code_sign_key') ?? '').trim().slice(0, longestKey),
    allowsMultipleClients: whole('allow_multiple_clients') !== 0,
    host: readHost(fields),
    results,
    held: readHeld(fields.get('other_results')),
    stickyFiles: stickyFiles.filter((name) => name !== ''),
    preferences: readPreferences(fields),
  }
}

/** Clients that have no idea of processors ask for seconds only. */
function readWish(fields: ReadonlyMap<string, string>): SchedulerRequest['wanted'] {
  const seconds = numberOf(fields.get('work_req_seconds'), 0)
  const cpuSeconds = numberOf(fields.get('cpu_req_secs'), seconds)
  const idleCpus = numberOf(fields.get('cpu_req_instances'), 0)
  const sendNone = numberOf(fields.get('dont_send_work'), 0) !== 0
  return sendNone || (cpuSeconds === 0 && idleCpus === 0) ? undefined : { seconds, cpuSeconds, idleCpus }
}

function readHost(fields: ReadonlyMap<string, string>): HostFacts {
  const facts = fieldsOf(fields.get('host_info') ?? '')
  const disk = fieldsOf(fields.get('disk_usage') ?? '')
  const text = (name: string) => textOf(facts.get(name), longestText)
  const number = (name: string) => numberOf(facts.get(name), 0)
  const diskFreeBytes = number('d_free')
  return {
    crossProjectId: text('host_cpid'),
    name: text('domain_name'),
    address: text('ip_addr'),
    timezoneSeconds: Math.trunc(numberOf(facts.get('timezone'), 0, -86_400, 86_400)),
    cpus: Math.trunc(numberOf(facts.get('p_ncpus'), 1, 1, 100_000)),
    cpuVendor: text('p_vendor'),
    cpuModel: text('p_model'),
    flops: number('p_fpops'),
    integerOperations: number('p_iops'),
    memoryBytes: number('m_nbytes'),
    diskFreeBytes,
    projectDiskBytes: numberOf(disk.get('d_project_share'), diskFreeBytes),
    operatingSystem: text('os_name'),
    operatingSystemVersion: text('os_version'),
  }
}

function readHeld(content: string | undefined): readonly string[] | undefined {
  if (content === undefined) return undefined
  const names: string[] = []
  for (const { name, content: result } of elementsOf(content))
    if (name === 'other_result' && names.length < mostNames) names.push(nameIn(result))
  return names.filter((name) => name !== '')
}

/** The element as it came. What the client works with now is another: it is the host's alone. */
function readPreferences(fields: ReadonlyMap<string, string>): string | undefined {
  for (const name of ['global_preferences', 'preferences']) {
    const content = fields.get(name)
    if (content !== undefined && content.length <= longestPreferences && content.trim() !== '')
      return `<${name}>${Buffer.from(content, 'latin1').toString('utf8')}</${name}>`
  }
  return undefined
}

function nameIn(content: string): string {
  return textOf(fieldsOf(content).get('name'), longestName)
}
