/**
 * Where the last transaction of a write-ahead log lies, in bytes from its beginning: `from` is where the frames of the
 * one before end. See "The Database File Format" of SQLite, chapter 4.
 */
export function lastTransaction(log: Buffer): { readonly from: number; readonly to: number } {
  const headerBytes = 32
  if (log.length < headerBytes) return { from: 0, to: 0 }
  const frameBytes = 24 + log.readUInt32BE(8)
  const salts = log.subarray(16, 24)
  let from = headerBytes
  let to = headerBytes
  for (let at = headerBytes; at + frameBytes <= log.length; at += frameBytes) {
    // What an earlier round of the log has left behind has other salts.
    if (!log.subarray(at + 8, at + 16).equals(salts)) break
    const isCommit = log.readUInt32BE(at + 4) !== 0
    if (isCommit) [from, to] = [to, at + frameBytes]
  }
  return { from, to }
}
