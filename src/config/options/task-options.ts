import { isLoopback } from '../loopback.ts'
import { bytes, choice, duration, number, onOff, text } from '../option-kinds.ts'
import { option } from './option.ts'
import { longestTimerMs, mebibyte, gibibyte, pebibyte } from './units.ts'

/** How scripts and tasks run on this computer, and what they may take. */
export const taskOptions = {
  slots: option<number>({
    name: 'slots',
    kind: number({ minimum: 1, maximum: 10_000 }),
    description: 'How many jobs run on this computer at the same time.',
    fallback: ({ cores }) => cores,
    fallbackText: 'the cores that the server may use',
  }),
  scriptTimeMs: option<number>({
    name: 'script-time',
    kind: duration({ minimum: 100, maximum: longestTimerMs }),
    description: 'How long reading a posted script into a workflow may take.',
    fallback: () => 30_000,
  }),
  scriptMemoryBytes: option<number>({
    name: 'script-memory',
    kind: bytes({ minimum: 64 * mebibyte, maximum: pebibyte }),
    description: 'How much memory the process that runs the functions of one script may take.',
    fallback: () => gibibyte,
  }),
  isolation: option<'required' | 'best-effort' | 'none'>({
    name: 'isolation',
    kind: choice(['required', 'best-effort', 'none']),
    description:
      'Whether what users send runs in boxes that keep it apart from the server and from other executions: required, or do not start; best-effort, where it can be; none.',
    fallback: (_, { host }) => (isLoopback(String(host)) ? 'best-effort' : 'required'),
    fallbackText: 'best-effort on a loopback address, required elsewhere',
  }),
  taskNetwork: option<boolean>({
    name: 'task-network',
    kind: onOff,
    description: 'Whether tasks on this computer that run in a box may use the network.',
    fallback: (_, { isolation }) => isolation !== 'required',
    fallbackText: 'off where isolation is required, on elsewhere',
  }),
  taskPaths: option<string>({
    name: 'task-paths',
    kind: text,
    description:
      'Where isolation is required: absolute paths, with colons between, that tasks may read besides the programs of the system.',
    fallback: () => '/opt',
  }),
  taskUser: option<string | undefined>({
    name: 'task-user',
    kind: text,
    description:
      'User of this computer as whom scripts and tasks run, for a server that root starts. Needs isolation that is required.',
    fallback: () => undefined,
    fallbackText: 'the user of the server',
  }),
  taskMemoryBytes: option<number>({
    name: 'task-memory',
    kind: bytes({ minimum: 0, maximum: pebibyte }),
    description: 'How much memory each process of a command on this computer may take; 0 limits nothing.',
    fallback: ({ memoryBytes }) => Math.floor((memoryBytes * 3) / 4 / mebibyte) * mebibyte,
    fallbackText: "three quarters of the computer's",
  }),
  taskFileBytes: option<number>({
    name: 'task-file-size',
    kind: bytes({ minimum: 0, maximum: pebibyte }),
    description: 'Largest file that a command on this computer may write; 0 limits nothing.',
    fallback: () => 16 * gibibyte,
  }),
  taskOutputBytes: option<number>({
    name: 'task-output',
    kind: bytes({ minimum: 0, maximum: pebibyte }),
    description:
      'Most that a command on this computer may print on standard output, and on standard error; 0 limits nothing.',
    fallback: () => 256 * mebibyte,
  }),
  taskProcesses: option<number>({
    name: 'task-processes',
    kind: number({ minimum: 0, maximum: 4_194_304 }),
    description:
      'How many processes and threads may be in the box of a command on this computer, if the server is not run by root; 0 limits nothing.',
    fallback: () => 4096,
  }),
} as const
