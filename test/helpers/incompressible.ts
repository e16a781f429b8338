import { createHash } from 'node:crypto'

/** Bytes that gzip cannot make shorter, the same in every run. */
export function incompressible(length: number): Buffer {
  const block = 64
  const bytes = Buffer.alloc(Math.ceil(length / block) * block)
  for (let at = 0; at < bytes.length; at += block)
    createHash('sha512').update(String(at)).digest().copy(bytes, at)
  return bytes.subarray(0, length)
}
