import { generateKeyPairSync } from 'node:crypto'
import type { Workunit } from '../environment/volunteers.ts'
import { writeKeyText } from './protocol/key-text.ts'
import type { ReplySettings } from './protocol/write-reply.ts'

/** Of a project whose key signs code and uploads and is made for this call. */
export function exampleSettings(): ReplySettings {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  return {
    projectName: 'Molehill',
    masterUrl: 'http://molehill.example/boinc/',
    downloadUrl: 'http://molehill.example/boinc/download/',
    uploadUrl: 'http://molehill.example/boinc/file_upload_handler',
    codeSignKey: writeKeyText(publicKey),
    successions: {},
    uploadKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    signatures: {},
  }
}

/** A workunit for tests, with one input of its own. */
export function exampleWorkunit(name: string, changes: Partial<Workunit> = {}): Workunit {
  const md5 = '0'.repeat(32)
  const launcher = {
    name: 'launcher_100',
    path: '/nowhere/launcher',
    bytes: 5,
    md5,
    signature: 'f'.repeat(256),
  }
  return {
    name,
    environment: 'boinc',
    application: {
      name: 'molehill',
      title: 'Molehill',
      resultName: 'result.tar.gz',
      version: 100,
      platforms: { 'x86_64-pc-linux-gnu': [launcher] },
    },
    inputs: [{ name: `in_${name}`, openName: 'task.tar.gz', path: '/nowhere/in', bytes: 7, md5 }],
    outputBytesAtMost: 1e6,
    estimatedMs: 60_000,
    wallTimeMs: 600_000,
    memoryBytes: 1e8,
    diskBytes: 1e8,
    cpus: 1,
    deadlineMs: 86_400_000,
    replication: { target: 1, quorum: 1, errorsAtMost: 3, copiesAtMost: 3, isHomogeneous: false },
    ...changes,
  }
}
