import { choice } from '../option-kinds.ts'
import { option } from './option.ts'

/** What is logged, and how. */
export const logOptions = {
  logLevel: option<'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'>({
    name: 'log-level',
    kind: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    description: 'The least important messages that are logged.',
    fallback: () => 'info',
  }),
  logFormat: option<'auto' | 'json' | 'pretty'>({
    name: 'log-format',
    kind: choice(['auto', 'json', 'pretty']),
    description: 'JSON lines, or lines for people. auto: for people on a terminal, JSON elsewhere.',
    fallback: () => 'auto',
  }),
} as const
