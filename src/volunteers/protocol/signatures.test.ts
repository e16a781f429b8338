import { createPublicKey, createSecretKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { readKeyText, writeKeyText } from './key-text.ts'
import {
  isSignatureOf,
  isUploadSigned,
  md5Of,
  readUploadKey,
  signKeyText,
  signMd5,
  signUpload,
} from './signatures.ts'
import {
  codeSignKeyText,
  fileSignature,
  program,
  uploadKeyText,
  uploadSignature,
} from './examples.fixtures.ts'

const seenKey = { secret: createSecretKey(Buffer.alloc(32)), publicKey: readKeyText(uploadKeyText) }
const certificate = { name: 'wu_1_0_r7919_0', bytesAtMost: 1_000_000, signature: uploadSignature }

describe('signatures', () => {
  it('are those that the client takes for an upload', () => {
    expect(isUploadSigned(certificate, seenKey)).toBe(true)
    expect(isUploadSigned({ ...certificate, bytesAtMost: 1_000_001 }, seenKey)).toBe(false)
    expect(isUploadSigned({ ...certificate, name: 'wu_1_0_r7919_1' }, seenKey)).toBe(false)
  })

  it('are those that the client takes for a program', () => {
    expect(Buffer.byteLength(program)).toBe(75)
    expect(md5Of(program)).toBe('4c89389117ace190dc22fbb33a9b7fef')
    expect(isSignatureOf(fileSignature, md5Of(program), readKeyText(codeSignKeyText))).toBe(true)
    expect(isSignatureOf(fileSignature, md5Of(`${program}#`), readKeyText(codeSignKeyText))).toBe(false)
  })

  it('are refused when they are anything else', () => {
    const digits = ['', '0'.repeat(64), 'f'.repeat(64), '0'.repeat(256), 'f'.repeat(256), 'ff'.repeat(4096)]
    for (const signature of ['.', 'no digits', ...digits])
      expect(isUploadSigned({ ...certificate, signature }, seenKey)).toBe(false)
    const changed = uploadSignature.replace('a3', 'a2')
    expect(isUploadSigned({ ...certificate, signature: changed }, seenKey)).toBe(false)
  })

  it('count with other white space and nothing behind the dot', () => {
    const signature = ` ${uploadSignature.replaceAll('\n', '\r\n\t')}anything`
    expect(isUploadSigned({ ...certificate, signature }, seenKey)).toBe(true)
  })

  it('are made and checked with keys of our own', () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const key = readUploadKey(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
    const signature = signUpload('out_1', 12, key)
    expect(signature).toMatch(/^[\da-f]{64}\n\.\n$/)
    const made = { name: 'out_1', bytesAtMost: 12, signature }
    expect(isUploadSigned(made, key)).toBe(true)
    expect(isUploadSigned({ ...made, signature: signature.toUpperCase().trim() }, key)).toBe(true)
    expect(isUploadSigned({ ...made, name: 'out_2' }, key)).toBe(false)
    expect(isUploadSigned({ ...made, bytesAtMost: 13 }, key)).toBe(false)
    expect(isUploadSigned(made, { ...key, secret: seenKey.secret })).toBe(false)
    const bySigning = md5Of('<name>out_1</name><max_nbytes>12</max_nbytes>')
    expect(isUploadSigned({ ...made, signature: signMd5(bySigning, privateKey) }, key)).toBe(true)
    const text = writeKeyText(publicKey)
    expect(isSignatureOf(signKeyText(`\n${text}`, privateKey), md5Of(text.trim()), publicKey)).toBe(true)
    expect(signMd5(md5Of('x'), privateKey)).not.toBe(signMd5(md5Of('y'), privateKey))
  })
})

describe('the text of a key', () => {
  it('is read and written the same', () => {
    for (const text of [codeSignKeyText, uploadKeyText])
      expect(writeKeyText(readKeyText(` \n${text}\n`))).toBe(text)
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    expect(writeKeyText(createPublicKey(privateKey))).toBe(writeKeyText(publicKey))
    expect(readKeyText(writeKeyText(publicKey)).equals(publicKey)).toBe(true)
  })

  it('is refused when it is none or has another length', () => {
    for (const text of ['', '1024\n00\n.', codeSignKeyText.replace('1024', '2048')])
      expect(() => readKeyText(text)).toThrow('Expected a public key')
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    expect(() => writeKeyText(publicKey)).toThrow('1024 bits')
  })
})
