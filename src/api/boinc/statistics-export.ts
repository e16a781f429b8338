import type { ProjectStatistics } from '../../volunteers/contract.ts'
import { writeAsciiXml, xml } from '../write-xml.ts'

const declaration = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n'
const seconds = (timeMs: number) => Math.floor(timeMs / 1000)
const rounded = (credit: number) => credit.toFixed(6)

/** What statistics sites read first: how many there are of everything, and as of when. */
export function writeTables({ users, hosts }: ProjectStatistics, now: number): string {
  const totalCredit = users.reduce((sum, user) => sum + user.totalCredit, 0)
  const tables = xml(
    'tables',
    xml('update_time', seconds(now)),
    xml('nusers_total', users.length),
    xml('nteams_total', 0),
    xml('nhosts_total', hosts.length),
    xml('total_credit', rounded(totalCredit)),
  )
  return `${declaration}${writeAsciiXml(tables)}\n`
}

/** Volunteers, as BOINC's own export lists them. In pieces: there may be very many. */
export function* writeUsers({ users }: ProjectStatistics): Generator<string> {
  yield `${declaration}<users>\n`
  for (const user of users)
    yield `${writeAsciiXml(
      xml(
        'user',
        xml('id', user.id),
        xml('name', user.name),
        xml('create_time', seconds(user.createdAt)),
        xml('total_credit', rounded(user.totalCredit)),
        xml('expavg_credit', rounded(user.averageCredit)),
        xml('expavg_time', seconds(user.averageAt)),
        xml('cpid', user.crossProjectId),
      ),
    )}\n`
  yield '</users>\n'
}

/** Hosts, without their names and addresses: those are nobody's business. */
export function* writeHosts({ hosts }: ProjectStatistics): Generator<string> {
  yield `${declaration}<hosts>\n`
  for (const host of hosts)
    yield `${writeAsciiXml(
      xml(
        'host',
        xml('id', host.id),
        xml('userid', host.userId),
        xml('total_credit', rounded(host.totalCredit)),
        xml('expavg_credit', rounded(host.averageCredit)),
        xml('expavg_time', seconds(host.averageAt)),
        xml('p_model', host.cpuModel),
        xml('os_name', host.operatingSystem),
        xml('create_time', seconds(host.createdAt)),
        xml('rpc_time', seconds(host.lastContact)),
        xml('ncpus', host.cpus),
        xml('m_nbytes', host.memoryBytes),
        xml('p_fpops', host.flops),
      ),
    )}\n`
  yield '</hosts>\n'
}

/** There are no teams. */
export function writeTeams(): string {
  return `${declaration}<teams>\n</teams>\n`
}
