export type Variables = Readonly<Record<string, string | undefined>>

/** The server's variables that its jobs see too. Everything else stays with the server: it may hold secrets. */
const passed = /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|TZ|TMPDIR)$/

/** What of the server's variables passes to jobs. */
export function passing(variables: Variables): Record<string, string> {
  const chosen: Record<string, string> = {}
  for (const [name, value] of Object.entries(variables))
    if (value !== undefined && passed.test(name)) chosen[name] = value
  return chosen
}
