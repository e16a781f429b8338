import { pino, type DestinationStream, type Logger } from 'pino'
import { prettyFactory } from 'pino-pretty'
import { redacted, redactMembers, redactUrl, secretNames } from './redact.ts'

export type Log = Logger

export interface LogOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  /** auto: for people on a terminal, JSON elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty'
  /** Whether the log goes to a terminal. */
  readonly isTerminal: boolean
  /** Colours in the format for people; only for a terminal, and not with NO_COLOR (https://no-color.org). */
  readonly colors?: boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Where lines go; standard output unless given. */
  readonly destination?: DestinationStream
}

const standardOutput = 1

/**
 * A log of one line per event: JSON with ISO time and the level's name, or text for people. Each line is out before
 * the call returns, so a crash loses none. Members named token, password, authorization and cookie are blanked; in a
 * member `url` the parameters token and password are.
 */
export function createLog(options: LogOptions): Log {
  const { level, format, isTerminal, colors = isTerminal, now } = options
  const output = options.destination ?? pino.destination({ dest: standardOutput, sync: true })
  const isPretty = format === 'pretty' || (format === 'auto' && isTerminal)
  return pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }), log: redactMembers },
      // Members that a child log adds do not pass the formatter.
      redact: { paths: [...secretNames].map((name) => `["${name}"]`), censor: redacted },
      serializers: {
        url: (url: unknown) => (typeof url === 'string' || url instanceof URL ? redactUrl(String(url)) : url),
        // Errors of libraries may carry the request that failed.
        err: (error: unknown) =>
          error instanceof Error ? redactMembers(pino.stdSerializers.err(error)) : error,
      },
    },
    isPretty ? writeForPeople(output, colors) : output,
  )
}

/** Not pino-pretty's own stream, which writes later: a crash would lose the lines that tell why. */
function writeForPeople(output: DestinationStream, colors: boolean): DestinationStream {
  const format = prettyFactory({ colorize: colors, translateTime: 'SYS:yyyy-mm-dd HH:MM:ss' })
  return { write: (line) => output.write(format(line)) }
}
