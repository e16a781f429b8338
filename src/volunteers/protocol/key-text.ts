import { createPublicKey, type KeyObject } from 'node:crypto'
import { Problem } from '../../problem.ts'

/** 1024 bits, in bytes: the most that BOINC's clients are built for. */
const keyBytes = 128
const digitsPerLine = 64

/** A public key as BOINC writes it: the bits, modulus and exponent as hexadecimal digits, and a dot. */
export function writeKeyText(key: KeyObject): string {
  const { n = '', e = '' } = key.export({ format: 'jwk' })
  const modulus = Buffer.from(n, 'base64url')
  if (key.asymmetricKeyType !== 'rsa' || modulus.length !== keyBytes)
    throw new Problem('configuration-invalid', 'Expected an RSA key of 1024 bits: clients know no other.', {
      hint: 'Make keys with: molehill boinc keys',
    })
  const numbers = Buffer.concat([modulus, padded(Buffer.from(e, 'base64url'))])
  return `1024\n${writeDigits(numbers)}`
}

/** The public key of a text. Throws Problem configuration-invalid. */
export function readKeyText(text: string): KeyObject {
  const match = /^\s*1024\s([\da-f\s]+)\.\s*$/i.exec(text)
  const numbers = Buffer.from((match?.[1] ?? '').replaceAll(/\s/g, ''), 'hex')
  if (numbers.length !== 2 * keyBytes)
    throw new Problem('configuration-invalid', 'Expected a public key in the form of BOINC, of 1024 bits.')
  const modulus = numbers.subarray(0, keyBytes)
  const exponent = numbers.subarray(keyBytes)
  const begin = exponent.findIndex((byte) => byte !== 0)
  return createPublicKey({
    format: 'jwk',
    key: {
      kty: 'RSA',
      n: modulus.toString('base64url'),
      e: exponent.subarray(begin).toString('base64url'),
    },
  })
}

/** What is the same in every spelling of a key or a signature. */
export function withoutSpace(text: string): string {
  return text.replaceAll(/\s/g, '')
}

/** Bytes, a multiple of 32, as lines of hexadecimal digits, ended by a dot on a line of its own. */
export function writeDigits(bytes: Uint8Array): string {
  const digits = Buffer.from(bytes).toString('hex')
  let text = ''
  for (let at = 0; at < digits.length; at += digitsPerLine)
    text += `${digits.slice(at, at + digitsPerLine)}\n`
  return `${text}.\n`
}

/** So many bytes of such a text; undefined where it is none. White space counts for nothing, and the dot ends it. */
export function readDigits(text: string, bytes = keyBytes): Buffer | undefined {
  const digits = withoutSpace(text.split('.', 1)[0] ?? '')
  return /^[\da-f]*$/i.test(digits) && digits.length === 2 * bytes ? Buffer.from(digits, 'hex') : undefined
}

function padded(exponent: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(keyBytes - exponent.length), exponent])
}
