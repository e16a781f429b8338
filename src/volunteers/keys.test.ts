import { createPublicKey } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { moveCodeSignKey, rotateCodeSignKey, signProgram } from './key-files.ts'
import { openKeys } from './keys.ts'
import { makeNextUploadKey, takeNextUploadKey } from './upload-keys.ts'
import { readKeyText, withoutSpace, writeKeyText } from './protocol/key-text.ts'
import { isSignatureOf, md5Of } from './protocol/signatures.ts'

const md5 = md5Of('a program')
const program = { name: 'launcher', md5 }
let root: string
let server: string
let offline: string
let clock: number
const now = () => clock++

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'molehill-keys-'))
  server = join(root, 'keys')
  offline = join(root, 'offline')
  clock = 1
})
afterEach(() => rm(root, { recursive: true }))

/** Whether a client that holds one key takes the other. */
const isTrusted = (
  held: string,
  { key, successions }: Awaited<ReturnType<typeof openKeys>>['announcement'],
) => isSignatureOf(successions[withoutSpace(held)] ?? '', md5Of(key.trim()), readKeyText(held))

describe('keys', () => {
  it('are made once, for their owner only', async () => {
    const keys = await openKeys(server)
    expect(keys).toMatchObject({ isNew: true, canSign: true })
    const names = await readdir(server)
    expect(names.toSorted()).toEqual(['accounts.secret', 'code-sign.pem', 'signatures', 'upload.pem'])
    for (const name of names) expect((await stat(join(server, name))).mode & 0o077, name).toBe(0)
    const again = await openKeys(server)
    expect(again.isNew).toBe(false)
    expect(again.announcement).toEqual(keys.announcement)
    expect(again.accountSecret).toEqual(keys.accountSecret)
    expect(again.accountSecret).toHaveLength(32)
    expect(again.uploadKeyPem).toBe(keys.uploadKeyPem)
    expect(again.uploadKey.secret.equals(keys.uploadKey.secret)).toBe(true)
    expect(writeKeyText(createPublicKey(again.uploadKeyPem))).toBe(writeKeyText(keys.uploadKey.publicKey))
  })

  it('sign programs where they are the whole keys', async () => {
    const keys = await openKeys(server)
    const signature = await keys.signatureOf(program)
    expect(isSignatureOf(signature, md5, readKeyText(keys.announcement.key))).toBe(true)
    expect(await keys.signatures()).toEqual({ [md5]: signature })
    await expect(keys.signatureOf({ name: 'x', md5: '../../x' })).rejects.toThrow('is no MD5')
  })

  it('change, and who trusts an older one trusts the newest', async () => {
    const first = await openKeys(server)
    const before = await first.signatureOf(program)
    await rotateCodeSignKey(server, now)
    const second = await openKeys(server)
    expect(second.announcement.key).not.toBe(first.announcement.key)
    await rotateCodeSignKey(server, now)
    const third = await openKeys(server)
    expect(isTrusted(first.announcement.key, second.announcement)).toBe(true)
    expect(isTrusted(first.announcement.key, third.announcement)).toBe(true)
    expect(isTrusted(second.announcement.key, third.announcement)).toBe(true)
    expect(isTrusted(third.announcement.key, first.announcement)).toBe(false)
    expect((await third.signatures())[md5]).not.toBe(before)
    expect(isSignatureOf(await third.signatureOf(program), md5, readKeyText(third.announcement.key))).toBe(
      true,
    )
    expect(third.uploadKeyPem).toBe(first.uploadKeyPem)
  })
})

describe('the upload key', () => {
  it('changes at the next start of the server, and the one before stays for what it signed', async () => {
    const first = await openKeys(server)
    await makeNextUploadKey(server)
    // The command line reads keys too.
    expect((await openKeys(server)).uploadKeyPem).toBe(first.uploadKeyPem)
    clock = 500
    await takeNextUploadKey(server, now)
    await takeNextUploadKey(server, now)
    const second = await openKeys(server)
    expect(second.uploadKeyPem).not.toBe(first.uploadKeyPem)
    const [older] = second.olderUploadKeys
    expect(second.olderUploadKeys).toHaveLength(1)
    expect(older?.until).toBe(500)
    expect(older?.key.secret.equals(first.uploadKey.secret)).toBe(true)
    expect(older?.key.secret.equals(second.uploadKey.secret)).toBe(false)
    expect(await readdir(server)).not.toContain('upload.next.pem')
  })
})

describe('a code signing key elsewhere', () => {
  it('leaves the server, which then takes signatures and makes none', async () => {
    const online = await openKeys(server)
    await rotateCodeSignKey(server, now)
    const { key } = (await openKeys(server)).announcement
    await moveCodeSignKey(server, offline)
    expect((await readdir(server)).toSorted()).toEqual([
      'accounts.secret',
      'code-sign.json',
      'signatures',
      'upload.pem',
    ])
    const keys = await openKeys(server)
    expect(keys).toMatchObject({ canSign: false, isNew: false, announcement: { key } })
    expect(isTrusted(online.announcement.key, keys.announcement)).toBe(true)
    await expect(keys.signatureOf(program)).rejects.toMatchObject({
      code: 'configuration-invalid',
      message: expect.stringContaining(md5) as string,
      hint: expect.stringContaining('molehill boinc sign') as string,
    })
    const file = join(root, 'launcher')
    await writeFile(file, 'a program')
    const signed = await signProgram(file, { directory: offline, server })
    expect(signed.md5).toBe(md5)
    expect(isSignatureOf(await keys.signatureOf(program), md5, readKeyText(key))).toBe(true)
    expect(await readFile(signed.path, 'utf8')).toBe((await keys.signatures())[md5])
  })

  it('is made there when there is none, and changes there', async () => {
    await moveCodeSignKey(server, offline)
    const before = (await openKeys(server)).announcement
    expect(await readdir(server)).not.toContain('code-sign.pem')
    const file = join(root, 'launcher')
    await writeFile(file, 'a program')
    await signProgram(file, { directory: offline, server })
    await rotateCodeSignKey(offline, now)
    await moveCodeSignKey(server, offline)
    const keys = await openKeys(server)
    expect(isTrusted(before.key, keys.announcement)).toBe(true)
    // What was signed with the old one has to be signed anew.
    await expect(keys.signatureOf(program)).rejects.toThrow('is not signed')
    expect(await keys.signatures()).toEqual({})
  })

  it('is not lost by a mistake', async () => {
    await expect(rotateCodeSignKey(server, now)).rejects.toThrow('There is no code signing key')
    await moveCodeSignKey(server, offline)
    await expect(moveCodeSignKey(server, join(root, 'empty'))).rejects.toThrow('is kept elsewhere')
    await openKeys(join(root, 'other'))
    await expect(moveCodeSignKey(join(root, 'other'), offline)).rejects.toThrow(
      'each have a code signing key',
    )
    await writeFile(join(server, 'code-sign.json'), '{"key":"none"}')
    await expect(openKeys(server)).rejects.toMatchObject({ code: 'configuration-invalid' })
  })
})
