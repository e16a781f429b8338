import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Assignment, SchedulerReply } from '../exchange.ts'
import {
  codeSignKeyText,
  fileSignature,
  firstReply,
  replyToReport,
  replyWithWork,
  uploadSignature,
} from './examples.fixtures.ts'
import { readKeyText, withoutSpace, writeKeyText } from './key-text.ts'
import { replyToOldClient, replyToStranger, replyToUnreadable } from './refusals.ts'
import { isSignatureOf, isUploadSigned, md5Of, readUploadKey, signKeyText } from './signatures.ts'
import { createReplyWriter, trustsKey, type ReplySettings } from './write-reply.ts'

const uploadKeyPem = generateKeyPairSync('rsa', { modulusLength: 1024 })
  .privateKey.export({ format: 'pem', type: 'pkcs8' })
  .toString()
const settings: ReplySettings = {
  projectName: 'Molehill',
  masterUrl: 'http://molehill.example/boinc/',
  downloadUrl: 'http://molehill.example/boinc/download/',
  uploadUrl: 'http://molehill.example/boinc/file_upload_handler',
  codeSignKey: codeSignKeyText,
  successions: {},
  uploadKey: uploadKeyPem,
  signatures: {},
}
const write = (reply: SchedulerReply, changes: Partial<ReplySettings> = {}) =>
  createReplyWriter({ ...settings, ...changes })(reply)

it('tells another address where the project has moved, and nothing of it where it has not', () => {
  const moved = write(plainReply, { movedTo: 'https://new.example/boinc/' })
  expect(moved).toContain('<master_url>https://new.example/boinc/</master_url>')
  expect(moved).toMatch(
    /<message priority="notice">This project has moved to https:\/\/new\.example\/boinc\/ /,
  )
  expect(write(plainReply)).toContain('<master_url>http://molehill.example/boinc/</master_url>')
  expect(write(plainReply)).not.toContain('moved')
})

const plainReply: SchedulerReply = {
  requestDelaySeconds: 2,
  nextRequestSeconds: 5,
  messages: [],
  volunteer: { id: 1, name: 'alice', createdAt: 1_700_000_000_000, totalCredit: 0, averageCredit: 0 },
  heldCodeSignKey: codeSignKeyText,
  acknowledged: [],
  aborted: [],
  abortedIfNotStarted: [],
  deletedFiles: [],
  assignments: [],
}
const assignment: Assignment = {
  name: 'wu_1_0',
  platform: 'x86_64-pc-linux-gnu',
  deadline: 2_000_000_000_000,
  outputName: 'wu_1_0_r7919_0',
  workunit: {
    name: 'wu_1',
    application: {
      name: 'upper',
      title: 'Upper case',
      resultName: 'out.txt',
      version: 100,
      platforms: {
        'x86_64-pc-linux-gnu': [
          {
            name: 'upper_sh_100',
            path: '/nowhere',
            bytes: 75,
            md5: '4c89389117ace190dc22fbb33a9b7fef',
            signature: fileSignature,
          },
        ],
      },
    },
    inputs: [
      {
        name: 'wu_1_in0',
        openName: 'in.txt',
        path: '/nowhere',
        bytes: 6,
        md5: 'b1946ac92492d2347c6235b4d2611184',
      },
    ],
    outputBytesAtMost: 1_000_000,
    estimatedMs: 60_000,
    wallTimeMs: 600_000,
    memoryBytes: 1e8,
    diskBytes: 1e8,
    cpus: 1,
  },
}

describe('a reply', () => {
  it('is what the client took as a new host', () => {
    const messages = [{ priority: 'low', text: 'No tasks sent' }] as const
    expect(write({ ...plainReply, messages, newHostId: 1, heldCodeSignKey: '' })).toBe(firstReply)
  })

  it('is what the client took as work, but that commands travel in a file', () => {
    const written = write({ ...plainReply, assignments: [assignment] })
    const signature = /<xml_signature>\n([^<]*)<\/xml_signature>/.exec(written)?.[1] ?? ''
    expect(
      isUploadSigned(
        { name: 'wu_1_0_r7919_0', bytesAtMost: 1_000_000, signature },
        readUploadKey(uploadKeyPem),
      ),
    ).toBe(true)
    expect(written.replace(signature, uploadSignature)).toBe(
      replyWithWork.replace(/ {4}<command_line>[^<]*<\/command_line>\n/, ''),
    )
  })

  it('is what the client took as the answer to a report', () => {
    expect(write({ ...plainReply, acknowledged: ['wu_1_0'] })).toBe(replyToReport)
  })

  it('writes what copies share once', () => {
    const copy = (name: string): Assignment => ({
      ...assignment,
      name: `${name}_0`,
      outputName: `${name}_0_r1_0`,
      workunit: { ...assignment.workunit, name },
    })
    const wide = copy('wu_4')
    const written = write({
      ...plainReply,
      assignments: [copy('wu_2'), copy('wu_3'), { ...wide, workunit: { ...wide.workunit, cpus: 4 } }],
    })
    const count = (text: string) => written.split(text).length - 1
    expect([
      count('<app>'),
      count('<name>upper_sh_100'),
      count('<name>wu_1_in0'),
      count('<workunit>'),
    ]).toEqual([1, 1, 1, 3])
    expect(count('<app_version>')).toBe(2)
    expect(count('<plan_class>4cpus</plan_class>')).toBe(2)
    expect(written).toContain('<avg_ncpus>4.000000</avg_ncpus>')
    expect(count('<result>')).toBe(3)
  })

  it('lets files stand beside the program, and keeps inputs for a while', () => {
    const { workunit } = assignment
    const [main] = workunit.application.platforms['x86_64-pc-linux-gnu'] ?? []
    const beside = { ...main, name: 'node_1', md5: 'ab12', openName: 'node' } as NonNullable<typeof main>
    const written = write(
      {
        ...plainReply,
        assignments: [
          {
            ...assignment,
            workunit: {
              ...workunit,
              application: {
                ...workunit.application,
                platforms: { 'x86_64-pc-linux-gnu': [main as NonNullable<typeof main>, beside] },
              },
              inputs: workunit.inputs.map((input) => ({ ...input, keptMs: 86_400_500 })),
            },
          },
        ],
      },
      { signatures: { ab12: 'made with the key in use\n' } },
    )
    expect(written).toContain(`    <file_ref>
        <file_name>node_1</file_name>
        <open_name>node</open_name>
    </file_ref>
`)
    expect(written).toContain('<file_signature>\nmade with the key in use\n    </file_signature>')
    expect(written).toContain('    <sticky/>\n    <sticky_lifetime>86401</sticky_lifetime>\n')
  })

  it('stops tasks and lets files go', () => {
    const written = write({ ...plainReply, aborted: ['a'], abortedIfNotStarted: ['b'], deletedFiles: ['c'] })
    expect(written).toContain('<result_abort>\n    <name>a</name>\n</result_abort>\n')
    expect(written).toContain(
      '<result_abort_if_not_started>\n    <name>b</name>\n</result_abort_if_not_started>\n',
    )
    expect(written).toContain('<delete_file_info>c</delete_file_info>\n')
  })

  it('passes preferences on as they came', () => {
    const preferences = '<global_preferences>\n<mod_time>7</mod_time>\n</global_preferences>'
    expect(write({ ...plainReply, preferences })).toContain(`\n${preferences}\n`)
  })

  it('escapes what people have named', () => {
    const volunteer = {
      id: 2,
      name: `<b> & "c" 'd' ü\n`,
      createdAt: 0,
      totalCredit: 1.5,
      averageCredit: 0.25,
    }
    expect(write({ ...plainReply, volunteer })).toContain(
      '<user_name>&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos; ü\n</user_name>',
    )
    expect(write({ ...plainReply, messages: [{ priority: 'notice', text: 'a\u0000b\u001bc' }] })).toContain(
      '<message priority="notice">a b c</message>',
    )
  })
})

describe('the code signing key', () => {
  it('goes to who holds an older one, signed by that', () => {
    const older = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const heldCodeSignKey = writeKeyText(older.publicKey).trim()
    const written = write(
      { ...plainReply, heldCodeSignKey },
      { successions: { [withoutSpace(heldCodeSignKey)]: signKeyText(codeSignKeyText, older.privateKey) } },
    )
    const signature = /<code_sign_key_signature>\n([^<]*)<\/code_sign_key_signature>/.exec(written)?.[1] ?? ''
    expect(isSignatureOf(signature, md5Of(codeSignKeyText.trim()), older.publicKey)).toBe(true)
    expect(readKeyText(/<code_sign_key>([^<]*)</.exec(written)?.[1] ?? '')).toEqual(
      readKeyText(codeSignKeyText),
    )
  })

  it('does not go to who holds it, nor to who could not check it', () => {
    expect(write({ ...plainReply, heldCodeSignKey: codeSignKeyText.replaceAll('\n', ' ') })).not.toContain(
      'code_sign',
    )
    const foreign = writeKeyText(createPublicKey(uploadKeyPem))
    expect([codeSignKeyText, '', foreign, 'constructor'].map((held) => trustsKey(held, settings))).toEqual([
      true,
      true,
      false,
      false,
    ])
    const written = write({ ...plainReply, heldCodeSignKey: foreign })
    expect(written).not.toContain('code_sign_key')
    expect(written).toContain('<message priority="notice">This project has another key now.')
  })
})

describe('a refusal', () => {
  it('says to strangers what BOINC says', () => {
    expect(write(replyToStranger())).toBe(`<scheduler_reply>
<scheduler_version>721</scheduler_version>
<request_delay>3600.000000</request_delay>
<message priority="notice">Invalid or missing account key.  To fix, remove and add this project.</message>
<project_name>Molehill</project_name>
</scheduler_reply>
`)
  })

  it('tells old clients to come with a newer one, tomorrow', () => {
    const told = (major: number, minor: number) => {
      const reply = replyToOldClient({ clientVersion: { major, minor, release: 0 } })
      return reply === undefined ? undefined : write(reply)
    }
    expect(told(7, 0)).toBeUndefined()
    expect(told(6, 12)).toContain(
      '<message priority="notice">This project needs BOINC 7 or later; yours is 6.12.',
    )
    expect(told(6, 11)).toContain('<message priority="high">')
    expect(told(1, 1)).toContain('<request_delay>86400.000000</request_delay>')
  })

  it('tells what cannot be read', () => {
    expect(write(replyToUnreadable('it is <html>'))).toContain('Error in request message: it is &lt;html&gt;')
  })
})
