/** Names that hosts see: of copies and of the files that they send. */

export interface CopyKey {
  readonly workunit: string
  readonly number: number
}

export function copyNameOf({ workunit, number }: CopyKey): string {
  return `${workunit}_${number}`
}

export function parseCopyName(name: string): CopyKey | undefined {
  const [, workunit, number] = /^([\w.-]{1,220})_(\d{1,6})$/.exec(name) ?? []
  return workunit === undefined ? undefined : { workunit, number: Number(number) }
}

/** @param secret 32 hex digits, so that nobody can guess the name of another's file */
export function outputNameOf(copy: CopyKey, secret: string): string {
  return `${copyNameOf(copy)}_r${secret}_0`
}

export function parseOutputName(name: string): (CopyKey & { readonly secret: string }) | undefined {
  const [, copy = '', secret] = /^(.{1,240})_r([0-9a-f]{32})_0$/.exec(name) ?? []
  const key = parseCopyName(copy)
  return key === undefined || secret === undefined ? undefined : { ...key, secret }
}
