import {
  bytes,
  choice,
  duration,
  mountPath,
  number,
  onOff,
  path,
  text,
  type OptionKind,
} from './option-kinds.ts'
import type { Surroundings } from './surroundings.ts'

/** One option of the server. All its spellings follow from `name`: see `spellings`. */
export interface Option<Value> {
  /** Words with hyphens between: `token-lifetime`. */
  readonly name: string
  readonly kind: OptionKind<NonNullable<Value>>
  readonly description: string
  /** `before` holds the values of the options that stand before it in the table. */
  readonly fallback: (surroundings: Surroundings, before: Readonly<Record<string, unknown>>) => Value
  /** The default in words, where it depends on the computer. */
  readonly fallbackText?: string
}

export type OptionValue<Each> = Each extends Option<infer Value> ? Value : never

const longestTimerMs = 2_147_483_647
const kibibyte = 2 ** 10
const mebibyte = 2 ** 20
const gibibyte = 2 ** 30
const pebibyte = 2 ** 50

/** The one table of options: flags, variables, the file, `config show` and the documentation derive from it. */
export const options = {
  dataDirectory: option<string>({
    name: 'data-directory',
    kind: path,
    description: 'Where executions, their files and the password are kept. Only its owner may enter it.',
    fallback: ({ stateDirectory }) => `${stateDirectory}/molehill`,
    fallbackText: '$XDG_STATE_HOME/molehill or ~/.local/state/molehill',
  }),
  host: option<string>({
    name: 'host',
    kind: text,
    description: 'Address to listen on. Anything but a loopback address opens the server to the network.',
    fallback: () => '127.0.0.1',
  }),
  port: option<number>({
    name: 'port',
    kind: number({ minimum: 0, maximum: 65_535 }),
    description: 'Port to listen on; 0 takes a free one.',
    fallback: () => 8443,
  }),
  http: option<boolean>({
    name: 'http',
    kind: onOff,
    description: 'Plain HTTP instead of HTTPS: for use behind a proxy that speaks HTTPS.',
    fallback: () => false,
  }),
  tlsCert: option<string | undefined>({
    name: 'tls-cert',
    kind: path,
    description: 'Certificate for HTTPS (PEM, with the chain behind it). Goes with tls-key.',
    fallback: () => undefined,
    fallbackText: 'a self-signed certificate made at the first start',
  }),
  tlsKey: option<string | undefined>({
    name: 'tls-key',
    kind: path,
    description: 'Private key of the certificate (PEM, not encrypted). Goes with tls-cert.',
    fallback: () => undefined,
    fallbackText: 'the key of the self-signed certificate',
  }),
  passwordFile: option<string | undefined>({
    name: 'password-file',
    kind: path,
    description: 'File whose first line is the password. Only its owner may be able to read it.',
    fallback: () => undefined,
    fallbackText: 'asked on the terminal at the first start',
  }),
  tokenLifetimeMs: option<number>({
    name: 'token-lifetime',
    kind: duration({ minimum: 1000, maximum: 366 * 86_400_000 }),
    description: 'How long a token is good for.',
    fallback: () => 86_400_000,
  }),
  oidcIssuer: option<string | undefined>({
    name: 'oidc-issuer',
    kind: text,
    description:
      'OpenID Connect provider whose tokens are taken as those of users: its address, as its tokens name it.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  oidcAudience: option<string | undefined>({
    name: 'oidc-audience',
    kind: text,
    description: 'Whom tokens of the OpenID Connect provider must be meant for. Goes with oidc-issuer.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  oidcClient: option<string | undefined>({
    name: 'oidc-client',
    kind: text,
    description:
      'What the OpenID Connect provider calls this server, to ask there about tokens that are not signed. Goes with oidc-secret-file.',
    fallback: () => undefined,
    fallbackText: 'no such tokens are taken',
  }),
  oidcSecretFile: option<string | undefined>({
    name: 'oidc-secret-file',
    kind: path,
    description: 'File whose first line is the secret of oidc-client. Only its owner may be able to read it.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  oidcNewUsers: option<boolean>({
    name: 'oidc-new-users',
    kind: onOff,
    description:
      'Whether everybody whom the OpenID Connect provider knows becomes a user when he comes first.',
    fallback: () => false,
  }),
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
  gzipDownloads: option<boolean>({
    name: 'gzip-downloads',
    kind: onOff,
    description: 'Pack downloaded directories with gzip when the client does not say, as OpenMOLE 9.2 did.',
    fallback: () => false,
  }),
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
  uploadBytes: option<number>({
    name: 'upload-limit',
    kind: bytes({ minimum: kibibyte, maximum: pebibyte }),
    description: 'Largest work directory that may be posted, as packed.',
    fallback: () => 20 * gibibyte,
  }),
  unpackedBytes: option<number>({
    name: 'unpacked-limit',
    kind: bytes({ minimum: kibibyte, maximum: pebibyte }),
    description: 'Largest work directory that may be posted, when unpacked.',
    fallback: () => 100 * gibibyte,
  }),
  archiveEntries: option<number>({
    name: 'archive-entries',
    kind: number({ minimum: 1, maximum: 100_000_000 }),
    description: 'Most files and directories that a posted work directory may hold.',
    fallback: () => 200_000,
  }),
  outputBytes: option<number>({
    name: 'output-limit',
    kind: bytes({ minimum: kibibyte, maximum: gibibyte }),
    description: 'Most text output that is kept of one execution.',
    fallback: () => 8 * mebibyte,
  }),
  shutdownMs: option<number>({
    name: 'shutdown-time',
    kind: duration({ minimum: 0, maximum: longestTimerMs }),
    description: 'How long requests may take to end once the server is asked to stop.',
    fallback: () => 10_000,
  }),
  maxConnections: option<number>({
    name: 'max-connections',
    kind: number({ minimum: 1, maximum: 1_000_000 }),
    description:
      'How many connections are served at the same time; more are told to come again (503), and cut where they are very many. Never more than half of the files that may be open.',
    fallback: () => 1000,
  }),
  requestsPerSecond: option<number>({
    name: 'request-rate',
    kind: number({ minimum: 0, maximum: 1_000_000 }),
    description:
      'How many requests a second an address, and a token, may send on the average; 0 limits nothing.',
    fallback: () => 50,
  }),
  requestBurst: option<number>({
    name: 'request-burst',
    kind: number({ minimum: 1, maximum: 1_000_000 }),
    description: 'How many requests an address, and a token, may send at once after a rest.',
    fallback: () => 200,
  }),
  maxExecutions: option<number>({
    name: 'max-executions',
    kind: number({ minimum: 1, maximum: 100_000 }),
    description: 'How many executions run at the same time; further ones wait for their turn.',
    fallback: () => 20,
  }),
  maxQueuedExecutions: option<number>({
    name: 'max-queued-executions',
    kind: number({ minimum: 0, maximum: 1_000_000 }),
    description: 'How many executions may wait for their turn; more are refused.',
    fallback: () => 1000,
  }),
  maxJobs: option<number>({
    name: 'max-jobs',
    kind: number({ minimum: 1, maximum: 1_000_000_000 }),
    description: 'Most jobs of one execution: an exploration that would bring more fails it.',
    fallback: () => 10_000_000,
  }),
  diskReserveBytes: option<number>({
    name: 'disk-reserve',
    kind: bytes({ minimum: 0, maximum: pebibyte }),
    description:
      'While less than this is free where the data directory lies, nothing new is taken; 0 never refuses.',
    fallback: () => 512 * mebibyte,
  }),
  retentionMs: option<number>({
    name: 'retention',
    kind: duration({ minimum: 0, maximum: 36_525 * 86_400_000 }),
    description:
      'How long executions that have ended are kept before they are removed with their files; 0 is for ever.',
    fallback: () => 0,
  }),
  maxFinished: option<number>({
    name: 'max-finished',
    kind: number({ minimum: 0, maximum: 100_000_000 }),
    description:
      'How many executions that have ended are kept: of more, those that ended first are removed; 0 keeps all.',
    fallback: () => 0,
  }),
  userStoredBytes: option<number>({
    name: 'user-storage',
    kind: bytes({ minimum: 0, maximum: pebibyte }),
    description:
      'How much is kept of a user, in executions and in what was uploaded; 0 limits nothing. A user may have another limit.',
    fallback: () => 0,
  }),
  userRunningJobs: option<number>({
    name: 'user-running-jobs',
    kind: number({ minimum: 0, maximum: 1_000_000_000 }),
    description:
      'How many jobs of a user run at the same time, further ones wait; 0 limits nothing. A user may have another limit.',
    fallback: () => 0,
  }),
  userQueuedJobs: option<number>({
    name: 'user-queued-jobs',
    kind: number({ minimum: 0, maximum: 1_000_000_000 }),
    description:
      'With so many jobs of a user waiting, nothing more is started; 0 limits nothing. A user may have another limit.',
    fallback: () => 0,
  }),
  housekeepingMs: option<number>({
    name: 'housekeeping-interval',
    kind: duration({ minimum: 100, maximum: longestTimerMs }),
    description: 'How often the server looks for what is to be removed and how full the disk is.',
    fallback: () => 60_000,
  }),
  auditBytes: option<number>({
    name: 'audit-size',
    kind: bytes({ minimum: kibibyte, maximum: pebibyte }),
    description: 'An audit log of this size is set aside, and the next one begins.',
    fallback: () => 64 * mebibyte,
  }),
  catalogEnvironments: option<string | undefined>({
    name: 'catalog-environments',
    kind: text,
    description:
      'Named environments of workflows of the catalog that leave it open where they run: "source-finder=cluster word-count=workstation".',
    fallback: () => undefined,
    fallbackText: 'this computer',
  }),
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

export type OptionKey = keyof typeof options

/** The effective value of every option, in the units that its name tells. Paths are absolute. */
export type Configuration = {
  readonly [Key in OptionKey]: OptionValue<(typeof options)[Key]>
}

export const optionKeys = Object.keys(options) as readonly OptionKey[]

/** How an option is written on the command line, in the environment and in the file. */
export interface Spellings {
  /** `--token-lifetime` */
  readonly flag: string
  /** `MOLEHILL_TOKEN_LIFETIME` */
  readonly variable: string
  /** `tokenLifetime`: in the file, and what commander calls the flag. */
  readonly member: string
}

export function spellings(name: string): Spellings {
  return {
    flag: `--${name}`,
    variable: `MOLEHILL_${name.replaceAll('-', '_').toUpperCase()}`,
    member: name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  }
}

function option<Value>(spec: Option<Value>): Option<Value> {
  return spec
}

/** Whether only this computer can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
