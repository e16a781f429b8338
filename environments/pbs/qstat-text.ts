/** One job of `qstat -f`: its id without the server's name, and its attributes by name in small letters. */
export interface QstatJob {
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * The jobs in the text of `qstat -f`. Both flavours print it, whole, while the JSON of older versions of PBS Pro breaks
 * on variables with quotes. Long values go on in lines that begin with a tab; wrappers over Slurm begin every
 * attribute with one.
 */
export function readQstatText(text: string): readonly QstatJob[] {
  const jobs: { id: string; attributes: Record<string, string> }[] = []
  for (const line of text.replaceAll(/\r?\n\t(?![A-Za-z_][\w.]* = )/g, '').split('\n')) {
    const id = /^Job Id:\s*(\S+)/.exec(line)?.[1]
    if (id !== undefined) {
      jobs.push({ id: withoutServer(id), attributes: {} })
      continue
    }
    const [, name, value] = /^\s+([\w.]+) = (.*)$/.exec(line) ?? []
    if (name !== undefined && value !== undefined) {
      const job = jobs.at(-1)
      if (job !== undefined) job.attributes[name.toLowerCase()] = value.trim()
    }
  }
  return jobs
}

/** `12[3].pbs.example.org` is `12[3]`: servers write their own name now short, now long. */
export function withoutServer(id: string): string {
  return id.replace(/\..*$/, '')
}

/** The index in `12[3]`; 0 of a job that is no array's. Undefined for `12[]`, which is the array itself. */
export function indexOf(id: string): number | undefined {
  if (id.endsWith('[]')) return undefined
  return Number(/\[(\d+)\]$/.exec(id)?.[1] ?? 0)
}
