import { mountPath, onOff, path, text } from '../option-kinds.ts'
import { option } from './option.ts'

/** How clients of exciting@web are served. */
export const excitingOptions = {
  exciting: option<boolean>({
    name: 'exciting',
    kind: onOff,
    description: 'Whether calculations may be posted as to the calculation service of exciting@web.',
    fallback: () => true,
  }),
  excitingPath: option<`/${string}`>({
    name: 'exciting-path',
    kind: mountPath,
    description: 'Below which path that is.',
    fallback: () => '/exciting',
  }),
  excitingOpen: option<boolean>({
    name: 'exciting-open',
    kind: onOff,
    description:
      'Whether that needs no key, as the client of exciting@web sends none. Only on a loopback address: everybody who reaches it acts as the operator there.',
    fallback: () => false,
  }),
  excitingStrict: option<boolean>({
    name: 'exciting-strict',
    kind: onOff,
    description: 'Whether an input.xml is refused that is posted to another SHA-1 than its own.',
    fallback: () => false,
  }),
  excitingProgram: option<string | undefined>({
    name: 'exciting-program',
    kind: text,
    description: 'The program that calculates, by name or path, where jobs run.',
    fallback: () => undefined,
    fallbackText: 'exciting',
  }),
  excitingStart: option<string | undefined>({
    name: 'exciting-start',
    kind: path,
    description:
      'Program of the site that submits a calculation, given its directory: startcalc.sh. Instead of an environment.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  excitingStatus: option<string | undefined>({
    name: 'exciting-status',
    kind: path,
    description: 'Program of the site that tells how a calculation stands, given its directory: getstatus.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  excitingStop: option<string | undefined>({
    name: 'exciting-stop',
    kind: path,
    description: 'Program of the site that ends a calculation, given its directory.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
} as const
