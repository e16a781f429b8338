import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { styleText } from 'node:util'

/** Where a command writes, and what it may know of its surroundings. Data goes to `stdout`, messages to `stderr`. */
export interface Terminal {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: Screen
  readonly stderr: Screen
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly currentDirectory: string
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** What stands below all that is written to stderr, and is drawn anew behind it. */
  readonly footer: { lines: readonly string[] }
}

export type Screen = Writable & {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

/** Writes data. Waits when the reader is slow, so that nothing piles up. */
export async function print(terminal: Terminal, text: string): Promise<void> {
  const { stdout } = terminal
  if (stdout.destroyed || text === '') return
  const hasSpace = stdout.isTTY === true ? writeAboveFooter(terminal, stdout, text) : stdout.write(text)
  // A reader that went away is heard of where the process begins.
  if (!hasSpace) await once(stdout, 'drain').catch(() => undefined)
}

/** Writes one JSON document and a line end. */
export async function printJson(terminal: Terminal, data: unknown): Promise<void> {
  await print(terminal, `${JSON.stringify(data, null, 2)}\n`)
}

/** Writes a message for a person. */
export function say(terminal: Terminal, message: string): void {
  writeAboveFooter(terminal, terminal.stderr, `${message}\n`)
}

/** Draws lines that stay at the bottom of the screen, over those that were there. Only where `canRedraw`. */
export function setFooter(terminal: Terminal, lines: readonly string[]): void {
  eraseFooter(terminal)
  terminal.footer.lines = lines
  drawFooter(terminal)
}

/** Makes the footer a part of what was written: what comes next goes below it. */
export function leaveFooter(terminal: Terminal): void {
  terminal.footer.lines = []
}

function writeAboveFooter(terminal: Terminal, screen: Screen, text: string): boolean {
  eraseFooter(terminal)
  const hasSpace = screen.write(text)
  drawFooter(terminal)
  return hasSpace
}

function eraseFooter({ stderr, footer }: Terminal): void {
  const { length } = footer.lines
  // Up to the first line, then clear to the end of the screen (ECMA-48: CPL, ED).
  if (length > 0) stderr.write(`\u001B[${length}F\u001B[0J`)
}

function drawFooter({ stderr, footer }: Terminal): void {
  if (footer.lines.length > 0) stderr.write(footer.lines.map((line) => `${line}\n`).join(''))
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

/** Colours text where the screen shows colours: a terminal, not a dumb one, and NO_COLOR (no-color.org) is not set. */
export function paint(terminal: Terminal, screen: Screen, style: Style, text: string): string {
  const { NO_COLOR = '', TERM } = terminal.variables
  if (screen.isTTY !== true || NO_COLOR !== '' || TERM === 'dumb') return text
  return styleText(style, text, { validateStream: false })
}

/** Whether lines can be drawn over. */
export function canRedraw(terminal: Terminal): boolean {
  return terminal.stderr.isTTY === true && terminal.variables.TERM !== 'dumb'
}
