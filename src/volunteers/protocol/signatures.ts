import { constants, createHash, privateEncrypt, publicDecrypt, type KeyObject } from 'node:crypto'
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

/** What allows a host to send one file of at most so many bytes. */
export function signUpload(name: string, bytesAtMost: number, uploadKey: KeyObject): string {
  return signMd5(md5OfUpload(name, bytesAtMost), uploadKey)
}

export function isUploadSigned(
  certificate: { readonly name: string; readonly bytesAtMost: number; readonly signature: string },
  publicKey: KeyObject,
): boolean {
  const { name, bytesAtMost, signature } = certificate
  return isSignatureOf(signature, md5OfUpload(name, bytesAtMost), publicKey)
}

export function md5Of(content: string | Uint8Array): string {
  return createHash('md5').update(content).digest('hex')
}

function md5OfUpload(name: string, bytesAtMost: number): string {
  return md5Of(`<name>${name}</name><max_nbytes>${bytesAtMost.toFixed(0)}</max_nbytes>`)
}

const padding = constants.RSA_PKCS1_PADDING
