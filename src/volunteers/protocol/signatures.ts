import {
  constants,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  hkdfSync,
  privateEncrypt,
  publicDecrypt,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto'
import { readDigits, writeDigits } from './key-text.ts'

/**
 * Signs as BOINC does: the RSA private operation, padded as PKCS#1 v1.5 block type 1, over the 32 characters of a
 * lower-case MD5. No library's "sign with MD5": there is no DigestInfo in it. Four lines of digits and a dot. The padding
 * is Node's own choice here; with an object that says so, a signature takes a sixth longer.
 */
export function signMd5(md5: string, privateKey: KeyObject): string {
  return writeDigits(privateEncrypt(privateKey, Buffer.from(md5, 'latin1')))
}

/** Whether a signature is that of the MD5. Whatever may stand in it: it comes from outside. */
export function isSignatureOf(signature: string, md5: string, publicKey: KeyObject): boolean {
  const bytes = readDigits(signature)
  if (bytes === undefined) return false
  try {
    return publicDecrypt({ key: publicKey, padding }, bytes).toString('latin1') === md5
  } catch {
    // OpenSSL throws where the padding is not as it must be.
    return false
  }
}

/** A key signs the key that comes after it. */
export function signKeyText(keyText: string, olderKey: KeyObject): string {
  return signMd5(md5Of(keyText.trim()), olderKey)
}

/** What upload certificates are made and checked with: nobody but the server does either. */
export interface UploadKey {
  /** Of the certificates that are made. */
  readonly secret: KeyObject
  /** For certificates that BOINC's own way of signing made. */
  readonly publicKey: KeyObject
}

/** The upload key of a PEM text: an RSA key of 1024 bits, from which the secret is derived. */
export function readUploadKey(pem: string): UploadKey {
  const privateKey = createPrivateKey(pem)
  const material = privateKey.export({ type: 'pkcs8', format: 'der' })
  const secret = hkdfSync('sha256', material, '', 'molehill upload certificate', macBytes)
  return { secret: createSecretKey(Buffer.from(secret)), publicKey: createPublicKey(privateKey) }
}

/**
 * What allows a host to send one file of at most so many bytes: a line of digits and a dot. Clients only carry it
 * back. So it is a MAC (RFC 2104, SHA-256), as one RSA signature takes as long as the rest of an answer.
 */
export function signUpload(name: string, bytesAtMost: number, { secret }: Pick<UploadKey, 'secret'>): string {
  return writeDigits(macOfUpload(name, bytesAtMost, secret))
}

/** Whether a certificate was made with the key, as a MAC or in BOINC's way. Whatever may stand in it. */
export function isUploadSigned(
  certificate: { readonly name: string; readonly bytesAtMost: number; readonly signature: string },
  { secret, publicKey }: UploadKey,
): boolean {
  const { name, bytesAtMost, signature } = certificate
  const mac = readDigits(signature, macBytes)
  return mac === undefined
    ? isSignatureOf(signature, md5Of(textOfUpload(name, bytesAtMost)), publicKey)
    : timingSafeEqual(mac, macOfUpload(name, bytesAtMost, secret))
}

export function md5Of(content: string | Uint8Array): string {
  return createHash('md5').update(content).digest('hex')
}

function macOfUpload(name: string, bytesAtMost: number, secret: KeyObject): Buffer {
  return createHmac('sha256', secret).update(textOfUpload(name, bytesAtMost)).digest()
}

function textOfUpload(name: string, bytesAtMost: number): string {
  return `<name>${name}</name><max_nbytes>${bytesAtMost.toFixed(0)}</max_nbytes>`
}

const macBytes = 32
const padding = constants.RSA_PKCS1_PADDING
