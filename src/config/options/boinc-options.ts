import { duration, mountPath, onOff, text } from '../option-kinds.ts'
import { option } from './option.ts'

/** How submitters of batches are served, as by a BOINC project. */
export const boincOptions = {
  boinc: option<boolean>({
    name: 'boinc',
    kind: onOff,
    description: 'Whether batches of jobs may be submitted as to a BOINC project, with keys of submitters.',
    fallback: () => true,
  }),
  boincPath: option<`/${string}`>({
    name: 'boinc-path',
    kind: mountPath,
    description: 'Below which path that is.',
    fallback: () => '/boinc',
  }),
  boincHosts: option<string | undefined>({
    name: 'boinc-hosts',
    kind: text,
    description:
      'Hosts from which submitters may have input files fetched, with commas between; * is every host with public addresses only.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  boincRoots: option<string | undefined>({
    name: 'boinc-roots',
    kind: text,
    description:
      'Directories of this computer of which submitters may name input files, with colons between.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  boincFileRetentionMs: option<number>({
    name: 'boinc-file-retention',
    kind: duration({ minimum: 60_000, maximum: 100 * 365 * 86_400_000 }),
    description: 'How long files that submitters have uploaded are kept when no batch uses them.',
    fallback: () => 30 * 86_400_000,
  }),
} as const
