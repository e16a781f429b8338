import { bytes, choice, duration, mountPath, onOff, path, text } from '../option-kinds.ts'
import { option } from './option.ts'
import { longestTimerMs, kibibyte, mebibyte, pebibyte } from './units.ts'

/** How clients of caesar-rest are served. */
export const caesarOptions = {
  caesar: option<boolean>({
    name: 'caesar',
    kind: onOff,
    description: 'Whether clients of caesar-rest are served.',
    fallback: () => true,
  }),
  caesarPath: option<`/${string}`>({
    name: 'caesar-path',
    kind: mountPath,
    description: 'What the paths for clients of caesar-rest begin with.',
    fallback: () => '/caesar/api/v1.0',
  }),
  caesarDescribe: option<'flat' | 'nested'>({
    name: 'caesar-describe',
    kind: choice(['flat', 'nested']),
    description:
      'How apps are described to clients of caesar-rest: flat, which all of them read; nested, with inputs and outputs, for later ones.',
    fallback: () => 'flat',
  }),
  caesarStrict: option<boolean>({
    name: 'caesar-strict',
    kind: onOff,
    description: 'Whether options that an app does not have are refused to clients of caesar-rest.',
    fallback: () => false,
  }),
  caesarQueryToken: option<boolean>({
    name: 'caesar-query-token',
    kind: onOff,
    description:
      'Whether clients of caesar-rest may send their token as access_token in the query string, where proxies may log it.',
    fallback: () => false,
  }),
  caesarFileTypes: option<string>({
    name: 'caesar-file-types',
    kind: text,
    description: 'Endings of files that clients of caesar-rest may upload.',
    fallback: () => 'png jpg jpeg gif fits',
  }),
  caesarFileBytes: option<number>({
    name: 'caesar-file-limit',
    kind: bytes({ minimum: kibibyte, maximum: pebibyte }),
    description: 'Largest file that clients of caesar-rest may upload.',
    fallback: () => 1000 * mebibyte,
  }),
  caesarDatasets: option<string | undefined>({
    name: 'caesar-datasets',
    kind: path,
    description: 'Directory whose files clients of caesar-rest may name as data sets.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  caesarDataRoots: option<string | undefined>({
    name: 'caesar-data-roots',
    kind: text,
    description:
      'Absolute paths of directories, with colons between, in which clients of caesar-rest may name files by their paths.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  caesarPeriodMs: option<number>({
    name: 'caesar-period',
    kind: duration({ minimum: 100, maximum: longestTimerMs }),
    description:
      'How often what has become of jobs of caesar-rest is written down, and their files are measured for the accounts.',
    fallback: () => 30_000,
  }),
} as const
