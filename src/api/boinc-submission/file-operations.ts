import { join } from 'node:path'
import { rm } from 'node:fs/promises'
import type { ReceivedFile } from '../route.ts'
import { xml, type XmlNode } from '../write-xml.ts'
import { isUnderWay } from './batch-view.ts'
import { keepUpload } from './input-files.ts'
import type { SubmissionParts, Submitter } from './parts.ts'
import type { Operation } from './read-request.ts'
import { refuse } from './refuse.ts'
import { isFileName } from './submit.ts'

/** Operations on uploaded files. */
export type FileOperation = Extract<
  Operation,
  { readonly names: readonly string[]; readonly batchId: number }
>

export function isFileOperation(operation: Operation): operation is FileOperation {
  return operation.kind === 'query-files' || operation.kind === 'upload-files'
}

/** Says which of these names the user has not uploaded yet, and keeps the others for longer. */
export function queryFiles(operation: FileOperation, submitter: Submitter, parts: SubmissionParts): XmlNode {
  const { store } = parts
  const absent: number[] = []
  for (const [index, name] of operation.names.entries()) {
    checkName(name)
    if (store.file(submitter.owner, name) === undefined) absent.push(index)
    else keepLonger(name, operation, submitter, parts)
  }
  // With nothing inside, the element must still hold white space: a client of BOINC reads its text.
  return xml('query_files', xml('absent_files', ...absent.map((index) => xml('file', index)), '\n'))
}

/**
 * Keeps uploaded files under the names of the request, for good: a name never means other bytes. Parts are taken by
 * the number in their name, else by their order.
 */
export async function uploadFiles(
  operation: FileOperation,
  files: readonly ReceivedFile[],
  submitter: Submitter,
  parts: SubmissionParts,
): Promise<XmlNode> {
  const { store, now } = parts
  const { owner } = submitter
  const { names } = operation
  if (files.length !== names.length)
    throw refuse(`# of uploaded files (${files.length}) doesn't agree with request (${names.length})`)
  const isNumbered = files.every(({ field }) => /^_?\d{1,4}$/.test(field))
  const ordered = isNumbered ? files.toSorted((a, b) => numberOf(a) - numberOf(b)) : files
  names.forEach((name) => checkName(name))
  for (const [index, name] of names.entries()) {
    const known = store.file(owner, name)
    if (known !== undefined && known.sha256 !== ordered[index]?.digest)
      throw refuse(`file immutability violation for ${name}`)
  }
  const fresh = ordered.filter((_, index) => store.file(owner, names[index] ?? '') === undefined)
  const freshBytes = fresh.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  await parts.quotas.keep(owner, freshBytes, async () => {
    for (const [index, name] of names.entries()) {
      const file = ordered[index]
      if (file === undefined) continue
      if (store.file(owner, name) === undefined) {
        await keepUpload(file.place, parts.uploadDirectory(owner), file.digest)
        store.putFile(owner, { name, sha256: file.digest, bytes: file.sizeBytes, usedAt: now(), deleteAt: 0 })
      }
      keepLonger(name, operation, submitter, parts)
    }
  })
  return xml('upload_files', xml('success'))
}

function numberOf({ field }: ReceivedFile): number {
  return Number(field.replace('_', ''))
}

/** Deletes files whose time is past and that no unfinished batch uses. */
export async function sweepFiles(
  submitterOf: (owner: string) => Submitter,
  retentionMs: number,
  parts: SubmissionParts,
): Promise<void> {
  const { store, now } = parts
  for (const { owner, name, sha256, deleteAt, usedAt } of store.files()) {
    if (now() < (deleteAt > 0 ? deleteAt : usedAt + retentionMs)) continue
    const isUsed = store.batchesOfFile(owner, name).some((id) => {
      const batch = store.batch(owner, { id })
      return batch !== undefined && (batch.phase !== 'started' || isUnderWay(batch, submitterOf(owner)))
    })
    if (isUsed) continue
    store.deleteFile(owner, name)
    const others = store.files().some((each) => each.owner === owner && each.sha256 === sha256)
    if (!others) await rm(join(parts.uploadDirectory(owner), sha256), { force: true })
  }
}

function keepLonger(
  name: string,
  { deleteSeconds, batchId }: FileOperation,
  { owner }: Submitter,
  { store, now }: SubmissionParts,
): void {
  const file = store.file(owner, name)
  if (file === undefined) return
  const deleteAt = Math.max(file.deleteAt, deleteSeconds * 1000)
  store.putFile(owner, { ...file, usedAt: now(), deleteAt })
  if (batchId > 0 && store.batch(owner, { id: batchId }) !== undefined) store.useFile(owner, name, batchId)
}

function checkName(name: string): void {
  if (!isFileName(name)) throw refuse('bad filename')
}
