/** How much one uploaded archive may cost. Data, so that quotas and tests can set their own. */
export interface ArchiveLimits {
  /** Compressed bytes that are taken from the source. */
  readonly uploadBytes: number
  /** Bytes of all files and of all metadata headers together. */
  readonly unpackedBytes: number
  /** Entries of the archive, counting directories that no entry names. */
  readonly entries: number
  /** Unpacked bytes for each compressed byte; not applied to the first 64 MiB. */
  readonly ratio: number
  /** Longest time without progress, in milliseconds: no bytes came, or none were taken, or the end is not reached. */
  readonly timeMs: number
}

const gibibyte = 1024 ** 3

export const defaultArchiveLimits: ArchiveLimits = {
  uploadBytes: 10 * gibibyte,
  unpackedBytes: 20 * gibibyte,
  entries: 200_000,
  ratio: 200,
  timeMs: 60_000,
}

/** Unpacked bytes up to which the ratio is not looked at: small archives of zeros are common and harmless. */
export const ratioFreeBytes = 64 * 1024 ** 2
