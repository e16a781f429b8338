/**
 * One word of shell text that bash reads back as exactly `text`. The word is plain ASCII on one line, whatever
 * `text` holds, so it means the same in every locale. Text with a NUL cannot be passed to a program at all.
 */
export function quote(text: string): string {
  if (/^[A-Za-z0-9_/.,:=@%+-]+$/.test(text)) return text
  if (text === '') return "''"
  let quoted = "$'"
  for (const byte of Buffer.from(text)) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
    quoted += isPlain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, '0')}`
  }
  return `${quoted}'`
}

/** Names that bash keeps for itself or acts upon: an assignment to them fails, means something else or warns. */
const namesOfBash =
  /^(_|LANG|LC_.*|BASH.*|SHELLOPTS|UID|EUID|PPID|GROUPS|RANDOM|SRANDOM|SECONDS|EPOCH.*|LINENO|FUNCNAME|DIRSTACK|HISTCMD|COMP_.*|PIPESTATUS|POSIXLY_CORRECT)$/

/**
 * Shell text that becomes the program: variables, then `exec` and the words of the command. `exec` looks for
 * programs only, so a command named like a builtin or a keyword is still the program on PATH.
 */
export function execText(command: readonly string[], variables: Readonly<Record<string, string>>): string {
  const assignments: string[] = []
  const throughEnv: string[] = []
  for (const [name, value] of Object.entries(variables)) {
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !namesOfBash.test(name))
      assignments.push(`${name}=${quote(value)}`)
    else throughEnv.push(quote(`${name}=${value}`))
  }
  // env(1) accepts every name; it becomes the command in the same process.
  const words = throughEnv.length === 0 ? [] : ['/usr/bin/env', '--', ...throughEnv]
  return [...assignments, 'exec', '--', ...words, ...command.map(quote)].join(' ')
}
