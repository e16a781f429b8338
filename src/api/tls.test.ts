import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadTls, type TlsOptions } from './tls.ts'

const dayMs = 86_400_000
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-tls-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

function load(given: Partial<TlsOptions> = {}) {
  return loadTls({
    certFile: undefined,
    keyFile: undefined,
    directory: join(directory, 'tls'),
    hostname: 'hut.example.org',
    now: Date.now,
    writeDurably: (file, data, mode) => writeFile(file, data, { mode }),
    ...given,
  })
}

/** A certificate and a key as somebody would give them, good from yesterday on. */
async function give(name: string, now = Date.now) {
  const made = await load({ directory: join(directory, name), now })
  const certFile = join(directory, name, 'cert.pem')
  const keyFile = join(directory, name, 'key.pem')
  return { ...made, certFile, keyFile }
}

test('the first start makes a certificate for this computer, later ones keep it', async () => {
  const first = await load()
  expect(first).toMatchObject({ selfSigned: true, isNew: true })
  expect(first.fingerprint).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/)
  expect(await load()).toEqual({ ...first, isNew: false })

  const certificate = new X509Certificate(first.cert)
  expect(certificate.subjectAltName?.split(', ').sort()).toEqual([
    'DNS:hut.example.org',
    'DNS:localhost',
    'IP Address:0:0:0:0:0:0:0:1',
    'IP Address:127.0.0.1',
  ])
  expect(certificate.checkPrivateKey(createPrivateKey(first.key))).toBe(true)
  expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
  expect(certificate.ca).toBe(false)
  const days = (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / dayMs
  expect(days).toBeLessThanOrEqual(397)
  expect(days).toBeGreaterThan(390)
})

test('the key is for its owner only', async () => {
  await load()
  expect((await stat(join(directory, 'tls', 'key.pem'))).mode & 0o777).toBe(0o600)
  expect((await stat(join(directory, 'tls'))).mode & 0o777).toBe(0o700)
})

test('a client that trusts the certificate can talk to a server that uses it', async () => {
  const { cert, key } = await load()
  const server = createServer({ cert, key }, (_request, response) => response.end('hello')).listen(
    0,
    '127.0.0.1',
  )
  try {
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    for (const host of ['127.0.0.1', 'localhost']) {
      const call = request({ host, family: 4, port, ca: cert, agent: false })
      call.end()
      const [response] = await once(call, 'response')
      expect(response).toMatchObject({ statusCode: 200 })
    }
    const distrusting = request({ host: '127.0.0.1', port, agent: false })
    distrusting.end()
    await expect(once(distrusting, 'response')).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test.each(['bad name', 'hütte', '10.0.0.1', 'a.'.repeat(150), ''])(
  'a computer called "%s" still gets a certificate',
  async (hostname) => {
    expect(new X509Certificate((await load({ hostname })).cert).subjectAltName).toBe(
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    )
  },
)

test('it is renewed thirty days before its end, and when it has ended', async () => {
  const first = await load()
  const at = (ms: number) => load({ now: () => ms })
  expect((await at(first.expiresAt - 31 * dayMs)).isNew).toBe(false)
  const second = await at(first.expiresAt - 29 * dayMs)
  expect(second.isNew).toBe(true)
  expect(second.fingerprint).not.toBe(first.fingerprint)
  const third = await at(second.expiresAt + dayMs)
  expect(third.isNew).toBe(true)
  expect(third.expiresAt).toBeGreaterThan(second.expiresAt + 300 * dayMs)
})

test('a damaged or mixed pair is made again', async () => {
  const first = await load()
  const other = await give('other')
  await writeFile(join(directory, 'tls', 'key.pem'), await readFile(other.keyFile))
  const second = await load()
  expect(second.isNew).toBe(true)
  expect(second.fingerprint).not.toBe(first.fingerprint)
  await writeFile(join(directory, 'tls', 'cert.pem'), '')
  expect((await load()).isNew).toBe(true)
})

test('a given certificate is used as it is, with its chain', async () => {
  const given = await give('given')
  const other = await give('other')
  await writeFile(given.certFile, given.cert + other.cert)
  const loaded = await load({ certFile: given.certFile, keyFile: given.keyFile })
  expect(loaded).toEqual({
    cert: given.cert + other.cert,
    key: given.key,
    fingerprint: given.fingerprint,
    expiresAt: given.expiresAt,
    selfSigned: false,
    isNew: false,
  })
})

test('one without the other is refused', async () => {
  const { certFile, keyFile } = await give('given')
  await expect(load({ certFile })).rejects.toThrow('got only the certificate')
  await expect(load({ keyFile })).rejects.toThrow('got only the key')
})

test('a key of another certificate is refused', async () => {
  const { certFile } = await give('given')
  const { keyFile } = await give('other')
  await expect(load({ certFile, keyFile })).rejects.toThrow(
    `The key ${keyFile} does not belong to the certificate ${certFile}.`,
  )
})

test('a certificate that has ended or not begun is refused with its dates', async () => {
  const { certFile, keyFile, expiresAt } = await give('given')
  for (const ms of [expiresAt, 0])
    await expect(load({ certFile, keyFile, now: () => ms })).rejects.toThrow(
      /is good from \d{4}.* and now it is /,
    )
})

test('files that are missing or hold something else are refused by what was expected', async () => {
  const { certFile, keyFile, key } = await give('given')
  const missing = join(directory, 'missing')
  await expect(load({ certFile: missing, keyFile })).rejects.toThrow(
    `The certificate ${missing} cannot be read`,
  )
  await expect(load({ certFile, keyFile: missing })).rejects.toThrow(`The key ${missing} cannot be read`)
  await expect(load({ certFile: keyFile, keyFile })).rejects.toThrow('Expected a certificate in PEM form')
  await expect(load({ certFile, keyFile: certFile })).rejects.toThrow('got something else')
  const encrypted = createPrivateKey(key).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'sesame',
  })
  await writeFile(join(directory, 'encrypted'), encrypted)
  await expect(load({ certFile, keyFile: join(directory, 'encrypted') })).rejects.toThrow(
    'under a passphrase',
  )
})
