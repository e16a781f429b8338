import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JobId } from '../../../src/environment/environment.ts'
import { writeFileDurably } from '../../../src/files/durable-file.ts'

/** Tokens with which pods fetch the files of one job. */
export interface FetchTokens {
  of(id: JobId): string
  /** Takes as long whatever is wrong with it. */
  isOf(id: JobId, token: string): boolean
}

/**
 * Tokens are HMACs of a job's id under a key of the environment's own, so that none need be kept: the next life of the
 * server knows them too. That a job is over makes its token worthless.
 */
export async function openFetchTokens(directory: string): Promise<FetchTokens> {
  const key = await openKey(join(directory, 'fetch-key'))
  const digestOf = (id: JobId): Buffer => createHmac('sha256', key).update(`files of ${id}`).digest()
  return {
    of: (id) => digestOf(id).toString('base64url'),
    isOf(id, token) {
      const expected = digestOf(id)
      const given = Buffer.from(token.slice(0, 100), 'base64url')
      const isLong = given.length === expected.length
      return timingSafeEqual(isLong ? given : Buffer.alloc(expected.length), expected) && isLong
    },
  }
}

async function openKey(path: string): Promise<Buffer> {
  if (!existsSync(path)) await writeFileDurably(path, randomBytes(32).toString('base64url'), 0o600)
  const key = Buffer.from(readFileSync(path, 'utf8'), 'base64url')
  if (key.length === 32) return key
  throw new Error(
    `Expected a key of 32 bytes in ${path}, found ${key.length}. Delete it to have a new one made.`,
  )
}
