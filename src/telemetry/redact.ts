/** What stands in place of a secret. */
export const redacted = '[redacted]'

/** Names of members that no log line may tell. */
export const secretNames: ReadonlySet<string> = new Set([
  'token',
  'password',
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
])
const secretParameters = new Set(['token', 'password'])
const deepest = 8

/**
 * A copy of what is logged with the values of secret members blanked, whatever their case, down to eight levels; what
 * lies deeper is left out. Objects of classes are kept as they are. A tenth of the time that pino's own `redact`
 * takes for four levels.
 */
export function redactMembers(members: object): Record<string, unknown> {
  return redactObject(members, deepest)
}

function redactObject(members: object, levels: number): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(members).map(([name, value]: [string, unknown]) => [
      name,
      secretNames.has(name.toLowerCase()) ? redacted : redactValue(value, levels - 1),
    ]),
  )
}

function redactValue(value: unknown, levels: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  const isList = Array.isArray(value)
  if (!isList && Object.getPrototypeOf(value) !== Object.prototype) return value
  if (levels <= 0) return '[too deep]'
  return isList ? value.map((each) => redactValue(each, levels - 1)) : redactObject(value, levels)
}

/**
 * The address with the values of the query parameters `token` and `password` blanked, in whatever way their names are
 * spelled, and with the credentials before the host blanked. Absolute or relative.
 */
export function redactUrl(url: string): string {
  const bare = url.replace(/^([a-z][a-z\d+.-]*:)?\/\/[^/?#]*@/i, `$1//${redacted}@`)
  const queryStart = bare.indexOf('?') + 1
  if (queryStart === 0) return bare
  const parameters = bare.slice(queryStart).split('&').map(redactParameter)
  return bare.slice(0, queryStart) + parameters.join('&')
}

function redactParameter(parameter: string): string {
  // Servers decode names too: `%74oken` is `token`.
  const [name] = new URLSearchParams(parameter).keys()
  if (name === undefined || !secretParameters.has(name.trim().toLowerCase())) return parameter
  const valueStart = parameter.indexOf('=') + 1
  return valueStart === 0 ? parameter : parameter.slice(0, valueStart) + redacted
}
