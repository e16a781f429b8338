/** A place in a script. `file` is a URL until the plan is made, then a path relative to the work directory. */
export interface SourceLocation {
  readonly file: string
  readonly line: number
  readonly column: number
}

const languageFolder = new URL('.', import.meta.url).href
const frame = /\(?((?:file:\/\/|\/)[^()]*):(\d+):(\d+)\)?$/

/** Where the script called the language: the first frame of the stack that lies outside of it. */
export function locateCaller(): SourceLocation | undefined {
  const stack = new Error('location').stack ?? ''
  for (const line of stack.split('\n').slice(1)) {
    const match = frame.exec(line.trim())
    if (match?.[1] === undefined || asUrl(match[1]).startsWith(languageFolder)) continue
    return { file: match[1], line: Number(match[2]), column: Number(match[3]) }
  }
  return undefined
}

function asUrl(file: string): string {
  return file.startsWith('/') ? `file://${file}` : file
}

/** `script.ts:3:14`, or nothing where the place is not known. */
export function describeLocation(location: SourceLocation | undefined): string {
  return location === undefined ? '' : `${location.file}:${location.line}:${location.column}`
}
