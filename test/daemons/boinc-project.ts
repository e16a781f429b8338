import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRequestLimiter } from '../../src/api/access/request-limiter.ts'
import { boincDialect } from '../../src/api/boinc/dialect.ts'
import { createVolunteerLimits } from '../../src/api/boinc/volunteer-limits.ts'
import { listen } from '../../src/api/server.ts'
import type { TlsIdentity } from '../../src/api/tls.ts'
import { accountIdOf, openAccounts, type Accounts } from '../../src/volunteers/accounts.ts'
import type { Volunteers } from '../../src/volunteers/contract.ts'
import { openKeys } from '../../src/volunteers/keys.ts'
import { openVolunteers } from '../../src/volunteers/open-volunteers.ts'
import { createTestApi } from '../helpers/api-server.ts'
import { claimPorts } from './ports.ts'

/** A project of volunteers behind HTTP, as the server has it, without an engine. */
export interface BoincProject extends AsyncDisposable {
  /** What clients attach to. */
  readonly url: string
  readonly volunteers: Volunteers
  readonly accounts: Accounts
  /** Key of a new volunteer. */
  key(name: string): string
  readonly warnings: readonly string[]
}

/** @param tls plain HTTP without */
export async function startBoincProject(tls?: Pick<TlsIdentity, 'cert' | 'key'>): Promise<BoincProject> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-project-'))
  const ports = await claimPorts()
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${ports.first}/boinc/`
  const warnings: string[] = []
  const warn = (message: string) => void warnings.push(message)
  const keysDirectory = join(directory, 'keys')
  await mkdir(keysDirectory)
  const keys = await openKeys(keysDirectory)
  const settings = {
    projectName: 'Molehill',
    masterUrl: url,
    downloadUrl: `${url}download/`,
    uploadUrl: `${url}file_upload_handler`,
    codeSignKey: keys.announcement.key,
    successions: keys.announcement.successions,
    uploadKey: keys.uploadKeyPem,
    signatures: {},
  }
  const { accountSecret } = keys
  const signatureOf: Volunteers['signatureOf'] = (program) => keys.signatureOf(program)
  const volunteers = await openVolunteers({ directory, settings, accountSecret, signatureOf, warn })
  const accounts = openAccounts(join(directory, 'project.db'), accountSecret, Date.now)
  const dialect = boincDialect('/boinc', {
    volunteers,
    accounts,
    settings,
    uploadKey: keys.uploadKey,
    olderUploadKeys: keys.olderUploadKeys,
    limits: createVolunteerLimits({ perSecond: 0, burst: 1, elapsedMs: () => performance.now() }),
    accountOf: (authenticator) => accountIdOf(authenticator, keys.accountSecret),
    joining: 'invited',
    platforms: { 'x86_64-pc-linux-gnu': 'Linux x86_64' },
    uploadBytes: 2 ** 30,
    idleMs: 60_000,
    checkDisk: () => Promise.resolve(),
    accountTries: createRequestLimiter({ perSecond: 100, burst: 100, elapsedMs: () => performance.now() }),
    now: Date.now,
    warn,
  })
  const limiter = createRequestLimiter({ perSecond: 1000, burst: 1000, elapsedMs: () => performance.now() })
  const test = await createTestApi({ dialects: [dialect], limiter })
  const server = await listen(test.api, {
    host: '127.0.0.1',
    port: ports.first,
    maxConnections: 100,
    ...(tls !== undefined && { tls }),
    idleMs: 60_000,
    report: (error) => warn(String(error)),
  })
  return {
    url,
    volunteers,
    accounts,
    warnings,
    key: (name) => accounts.authenticatorOf(accounts.add(name)),
    async [Symbol.asyncDispose]() {
      await server.close(100)
      await test[Symbol.asyncDispose]()
      accounts[Symbol.dispose]()
      await volunteers.close()
      await ports.release()
      await rm(directory, { recursive: true })
    },
  }
}
