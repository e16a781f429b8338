/**
 * Random numbers by position instead of by sequence: number `index` of a stream depends on nothing but seed, stream
 * and index. So a sample can be made at any time, in any order, and a restart makes the same ones.
 */

/** Uniform in [0, 1), with 53 random bits. */
export function uniformAt(seed: number, stream: number, index: number): number {
  const high = hash(seed, stream, index, 0) >>> 5
  const low = hash(seed, stream, index, 1) >>> 6
  return (high * 2 ** 26 + low) / 2 ** 53
}

/**
 * Where a random permutation of 0 ... size-1 takes `index`: a Feistel network over the next power of four, walked
 * until it falls inside (Black and Rogaway 2002). Needs no table, so that a billion samples cost no memory.
 */
export function permuteAt(seed: number, stream: number, index: number, size: number): number {
  const halfBits = Math.max(1, Math.ceil(Math.log2(Math.max(2, size)) / 2))
  const half = 2 ** halfBits
  let position = index
  do {
    let left = Math.floor(position / half)
    let right = position % half
    for (let round = 0; round < 4; round += 1) {
      const mixed = (hash(seed, stream, right, round + 2) >>> 0) % half
      ;[left, right] = [right, (left ^ mixed) >>> 0]
    }
    position = left * half + right
  } while (position >= size)
  return position
}

/** The finaliser of MurmurHash3 (Appleby, public domain) over four numbers. */
function hash(seed: number, stream: number, index: number, salt: number): number {
  let state = mix(Math.imul(seed | 0, 0x9e3779b1) ^ Math.floor(seed / 2 ** 32))
  state = mix(state ^ Math.imul(stream + 1, 0x85ebca6b))
  state = mix(state ^ Math.imul(index + 1, 0xc2b2ae35))
  return mix(state ^ Math.imul(salt + 1, 0x27d4eb2f))
}

function mix(value: number): number {
  let mixed = value | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
