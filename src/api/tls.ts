import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { Problem } from '../problem.ts'
import type { WriteDurably } from '../store/preferences.ts'

/** What an HTTPS server needs. */
export interface TlsIdentity {
  /** PEM; the chain may follow. */
  readonly cert: string
  /** PEM. */
  readonly key: string
  /** SHA-256 of the certificate, as pairs of hexadecimal digits with colons between. */
  readonly fingerprint: string
  readonly selfSigned: boolean
  /** Made by this call: the moment to tell people the fingerprint. */
  readonly isNew: boolean
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

export interface TlsOptions {
  /** Paths of `--tls-cert` and `--tls-key`. */
  readonly certFile: string | undefined
  readonly keyFile: string | undefined
  /** Where the self-signed certificate is kept: `tls/` of the data directory. */
  readonly directory: string
  /** The computer's name: one of the names that the self-signed certificate is for. */
  readonly hostname: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly writeDurably: WriteDurably
}

const dayMs = 86_400_000
/** Clients on macOS and iOS refuse more than 398 days. */
const validityMs = 397 * dayMs
const renewalMs = 30 * dayMs

/**
 * The given certificate, or the self-signed one of the data directory, which is made at the first start and again
 * when it is near its end or damaged. Throws Problem('configuration-invalid') for a given one that cannot be used.
 */
export async function loadTls(options: TlsOptions): Promise<TlsIdentity> {
  const { certFile, keyFile, now } = options
  if (certFile === undefined && keyFile === undefined) return await keepSelfSigned(options)
  if (certFile === undefined || keyFile === undefined)
    throw new Problem(
      'configuration-invalid',
      `Expected both a certificate and its key, got only the ${certFile === undefined ? 'key' : 'certificate'}.`,
      { hint: 'Give --tls-cert and --tls-key together, or neither for a self-signed certificate.' },
    )
  const cert = await readPem(certFile, 'certificate')
  const key = await readPem(keyFile, 'key')
  const certificate = parseCertificate(cert, certFile)
  if (!certificate.checkPrivateKey(parseKey(key, keyFile)))
    throw new Problem(
      'configuration-invalid',
      `The key ${keyFile} does not belong to the certificate ${certFile}.`,
      { hint: "In a file with a chain, the server's own certificate must come first." },
    )
  const { notBefore, notAfter } = validity(certificate)
  if (now() >= notAfter || now() < notBefore)
    throw new Problem(
      'configuration-invalid',
      `The certificate ${certFile} is good from ${date(notBefore)} to ${date(notAfter)}, and now it is ${date(now())}.`,
      { hint: 'Renew it, or set the clock of this computer right.' },
    )
  return identity(certificate, { cert, key, selfSigned: false, isNew: false })
}

async function keepSelfSigned(options: TlsOptions): Promise<TlsIdentity> {
  const { directory, now, hostname, writeDurably } = options
  const certPath = join(directory, 'cert.pem')
  const keyPath = join(directory, 'key.pem')
  const kept = await readKept(certPath, keyPath)
  if (kept !== undefined && kept.expiresAt - now() > renewalMs && kept.expiresAt - now() <= validityMs)
    return kept

  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { cert, key } = await makeSelfSigned(hostname, now())
  // A crash between the two leaves a pair that does not match, which the next start makes anew.
  await writeDurably(keyPath, key, 0o600)
  await writeDurably(certPath, cert, 0o644)
  return identity(new X509Certificate(cert), { cert, key, selfSigned: true, isNew: true })
}

/** Undefined when there is none, or none that works: nobody but us made it, so it may be made again. */
async function readKept(certPath: string, keyPath: string): Promise<TlsIdentity | undefined> {
  try {
    const [cert, key] = await Promise.all([readFile(certPath, 'utf8'), readFile(keyPath, 'utf8')])
    const certificate = new X509Certificate(cert)
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return undefined
    return identity(certificate, { cert, key, selfSigned: true, isNew: false })
  } catch {
    return undefined
  }
}

async function makeSelfSigned(hostname: string, nowMs: number): Promise<{ cert: string; key: string }> {
  const name = isIP(hostname) === 0 && /^[\w.-]{1,253}$/.test(hostname) ? hostname : 'localhost'
  // A client's clock may be behind ours.
  const notBeforeMs = nowMs - dayMs
  // Loaded when it is needed, once in a year: it takes as much memory as a large upload.
  const { generate } = await import('selfsigned')
  const made = await generate([{ name: 'commonName', value: 'molehill' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(notBeforeMs),
    notAfterDate: new Date(notBeforeMs + validityMs),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...[...new Set(['localhost', name])].map((value) => ({ type: 2 as const, value })),
          { type: 7, ip: '127.0.0.1' },
          { type: 7, ip: '::1' },
        ],
      },
    ],
  })
  // Files of certificates are often put together, which needs the line ends.
  return { cert: `${made.cert.trimEnd()}\n`, key: `${made.private.trimEnd()}\n` }
}

async function readPem(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new Problem('configuration-invalid', `The ${what} ${path} cannot be read: ${String(cause)}.`, {
      hint: 'It must be a PEM file that the user of the server can read.',
      cause,
    })
  }
}

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new Problem('configuration-invalid', `Expected a certificate in PEM form in ${path}.`, {
      hint: 'Such a file holds a part that begins with -----BEGIN CERTIFICATE-----.',
      cause,
    })
  }
}

function parseKey(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    const isEncrypted = pem.includes('ENCRYPTED')
    throw new Problem(
      'configuration-invalid',
      `Expected a private key in PEM form in ${path}, got ${isEncrypted ? 'one under a passphrase' : 'something else'}.`,
      {
        hint: isEncrypted
          ? `Write it without the passphrase into a file of mode 0600: openssl pkey -in '${path}' -out key.pem`
          : 'Such a file holds a part that begins with -----BEGIN PRIVATE KEY-----.',
        cause,
      },
    )
  }
}

function identity(
  certificate: X509Certificate,
  rest: Pick<TlsIdentity, 'cert' | 'key' | 'selfSigned' | 'isNew'>,
): TlsIdentity {
  return { ...rest, fingerprint: certificate.fingerprint256, expiresAt: validity(certificate).notAfter }
}

function validity(certificate: X509Certificate): { notBefore: number; notAfter: number } {
  return { notBefore: certificate.validFromDate.getTime(), notAfter: certificate.validToDate.getTime() }
}

function date(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16)
}
