import type { Assignment, SchedulerReply } from '../exchange.ts'
import { withoutSpace } from './key-text.ts'
import { readUploadKey, signUpload } from './signatures.ts'
import { element, escapeXml, fixed, seconds } from './write-element.ts'
import { writeApplicationFiles, writeApplicationVersion, writeWorkunit } from './write-work.ts'

/** What replies tell of the project. Plain data, to be handed to a thread. */
export interface ReplySettings {
  readonly projectName: string
  /** As volunteers attach to it: clients compare it. Ends with `/`. */
  readonly masterUrl: string
  /** The address of the project from now on, where it has moved; ends with `/`. */
  readonly movedTo?: string
  /** Ends with `/`; a file's name is put behind it. */
  readonly downloadUrl: string
  readonly uploadUrl: string
  /** Public half, as `writeKeyText` writes it. */
  readonly codeSignKey: string
  /** For each older key, written without white space: its signature of the key in use. */
  readonly successions: Readonly<Record<string, string>>
  /** The upload key, PEM. */
  readonly uploadKey: string
  /** Signatures of programs by their MD5, made with the key in use: they replace those that work was filed with. */
  readonly signatures: Readonly<Record<string, string>>
}

/** The release of BOINC's server whose replies these are like. */
const serverVersion = 721

/**
 * Whether a client that holds this key will take programs signed with the one in use: it holds that, none yet, or an
 * older one. Else each of its tasks would fail.
 */
export function trustsKey(
  held: string,
  { codeSignKey, successions }: Pick<ReplySettings, 'codeSignKey' | 'successions'>,
): boolean {
  const heldKey = withoutSpace(held)
  return heldKey === '' || heldKey === withoutSpace(codeSignKey) || Object.hasOwn(successions, heldKey)
}

/**
 * A way to write replies as a client reads them: one XML element. What clients unescape is bytes, not characters:
 * everything else than XML's own marks is written as such, and goes as UTF-8.
 */
export function createReplyWriter(settings: ReplySettings): (reply: SchedulerReply) => string {
  const uploadKey = readUploadKey(settings.uploadKey)
  const ownKey = withoutSpace(settings.codeSignKey)
  const writeKey = (held: string): string => {
    const heldKey = withoutSpace(held)
    if (heldKey === ownKey) return ''
    const key = `<code_sign_key>\n${settings.codeSignKey}</code_sign_key>\n`
    if (heldKey === '') return key
    const succession = trustsKey(held, settings) ? settings.successions[heldKey] : undefined
    // Without its own key's signature the client takes no other: it has to be attached anew.
    return succession === undefined
      ? message('notice', 'This project has another key now.  To fix, remove and add this project.')
      : `${key}<code_sign_key_signature>\n${succession}</code_sign_key_signature>\n`
  }
  const sign = (name: string, bytesAtMost: number) => signUpload(name, bytesAtMost, uploadKey)

  return (reply) => {
    const pieces = [
      '<scheduler_reply>\n',
      element('scheduler_version', serverVersion),
      ...(reply.volunteer === undefined
        ? []
        : ['<dont_use_dcf/>\n', element('master_url', settings.movedTo ?? settings.masterUrl)]),
      element('request_delay', fixed(reply.requestDelaySeconds)),
      ...(reply.nextRequestSeconds === 0 ? [] : [element('next_rpc_delay', fixed(reply.nextRequestSeconds))]),
      ...(settings.movedTo === undefined ? [] : [message('notice', movedNotice(settings.movedTo))]),
      ...reply.messages.map(({ priority, text }) => message(priority, text)),
      element('project_name', settings.projectName),
    ]
    if (reply.volunteer !== undefined) {
      pieces.push(writeVolunteer(reply.volunteer))
      if (reply.newHostId !== undefined) pieces.push(element('hostid', reply.newHostId))
      pieces.push(writeKey(reply.heldCodeSignKey))
      if (reply.preferences !== undefined) pieces.push(`${reply.preferences}\n`)
    }
    for (const name of reply.acknowledged) pieces.push(named('result_ack', name))
    for (const name of reply.aborted) pieces.push(named('result_abort', name))
    for (const name of reply.abortedIfNotStarted) pieces.push(named('result_abort_if_not_started', name))
    for (const name of reply.deletedFiles) pieces.push(element('delete_file_info', name))
    writeAssignments(reply.assignments, settings, sign, pieces)
    pieces.push('</scheduler_reply>\n')
    return pieces.join('')
  }
}

/** Clients before 2026 show it; newer ones go to the address that `master_url` says by themselves. */
function movedNotice(url: string): string {
  return `This project has moved to ${url}  To go on, remove it and add it with that address.`
}

function writeVolunteer({
  id,
  name,
  totalCredit,
  averageCredit,
  createdAt,
}: NonNullable<SchedulerReply['volunteer']>): string {
  return (
    element('userid', id) +
    element('user_name', name) +
    element('user_total_credit', totalCredit) +
    element('user_expavg_credit', averageCredit) +
    element('user_create_time', seconds(createdAt))
  )
}

type Sign = (name: string, bytesAtMost: number) => string

/** Applications, files, versions and workunits once each, whatever number of copies needs them; then the copies. */
function writeAssignments(
  assignments: readonly Assignment[],
  settings: ReplySettings,
  sign: Sign,
  pieces: string[],
): void {
  const written = new Set<string>()
  const once = (key: string, write: () => string) => {
    if (written.has(key)) return
    written.add(key)
    pieces.push(write())
  }
  for (const assignment of assignments) {
    const { workunit, platform } = assignment
    const { application } = workunit
    once(`application ${application.name}`, () => writeApplication(application.name, application.title))
    for (const file of application.platforms[platform] ?? [])
      once(`file ${file.name}`, () => writeApplicationFiles(file, settings))
    const version = `version ${application.name} ${application.version} ${platform} ${workunit.cpus}`
    once(version, () => writeApplicationVersion(workunit, platform))
    writeWorkunit(assignment, settings, once, sign, pieces)
  }
}

function writeApplication(name: string, title: string): string {
  return `<app>
    <name>${escapeXml(name)}</name>
    <user_friendly_name>${escapeXml(title)}</user_friendly_name>
    <non_cpu_intensive>0</non_cpu_intensive>
    <fraction_done_exact>0</fraction_done_exact>
</app>
`
}

function message(priority: string, text: string): string {
  return `<message priority="${priority}">${escapeXml(text)}</message>\n`
}

function named(tag: string, name: string): string {
  return `<${tag}>\n    ${element('name', name)}</${tag}>\n`
}
