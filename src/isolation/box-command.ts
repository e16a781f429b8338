import { readOpenFilesLimit } from './open-files-limit.ts'
import { hasBox, type BoxView, type Isolation, type ProcessLimits } from './isolation.ts'

/** A private /tmp lies in memory. */
const temporaryBytes = 1024 * 1024 * 1024

// What Node and the C library look at besides programs and libraries.
const nodeFiles = ['/etc/ld.so.cache', '/etc/localtime', '/etc/passwd', '/etc/group', '/etc/nsswitch.conf']
// Root without them could not work on files that belong to others.
const fileRights = ['CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_CHOWN']

// For systems without prlimit. Where the system knows one of the limits not, it goes without.
const limitedStart = `ulimit -c 0; ulimit -d "$1" 2>/dev/null; ulimit -t "$2" 2>/dev/null; ulimit -n "$3" 2>/dev/null; shift 3; exec "$@"`

/**
 * The command that runs `argv` and lets it see what `view` names, as far as there is isolation. The variables of the
 * environment are the caller's to choose: the box passes on those it is started with.
 */
export function boxCommand(isolation: Isolation, argv: readonly string[], view: BoxView): string[] {
  if (!hasBox(isolation)) return limited(isolation, argv, view.limits, false)
  return [
    isolation.bubblewrap ?? '',
    ...(view.base === 'computer'
      ? ['--unshare-pid', '--unshare-ipc', ...(view.network ? [] : ['--unshare-net'])]
      : [
          '--unshare-all',
          ...(view.network ? ['--share-net'] : []),
          ...(isolation.canForbidNamespaces ? ['--unshare-user', '--disable-userns'] : []),
        ]),
    '--die-with-parent',
    ...(view.isSession === true ? ['--new-session'] : []),
    '--cap-drop',
    'ALL',
    ...(view.base === 'computer' && isolation.isRoot
      ? fileRights.flatMap((right) => ['--cap-add', right])
      : []),
    ...baseMounts(isolation, view),
    // To the kernel root is root also without rights, and there it may say what the kernel runs as root.
    ...(isolation.isRoot ? ['--ro-bind', '/proc/sys', '/proc/sys'] : []),
    ...placeMounts(view),
    ...(view.base === 'computer'
      ? []
      : ['--remount-ro', '/', '--setenv', 'HOME', '/tmp', '--setenv', 'TMPDIR', '/tmp']),
    ...(view.directory === undefined ? [] : ['--chdir', view.directory]),
    '--',
    ...limited(isolation, argv, view.limits, true),
  ]
}

function baseMounts(isolation: Isolation, { base }: BoxView): string[] {
  if (base === 'computer') return ['--bind', '/', '/', '--dev-bind', '/dev', '/dev', '--proc', '/proc']
  const system = isolation.system.filter(({ path }) => base === 'system' || !path.startsWith('/etc'))
  return [
    ...system.flatMap(({ path, linkTo }) =>
      linkTo === undefined ? ['--ro-bind', path, path] : ['--symlink', linkTo, path],
    ),
    ...(base === 'node' ? nodeFiles : []).flatMap((path) => ['--ro-bind-try', path, path]),
    ...(base === 'system' ? isolation.masked : []).flatMap(({ path, kind }) =>
      kind === 'directory' ? ['--tmpfs', path] : ['--ro-bind', '/dev/null', path],
    ),
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    ...(isolation.canLimitTemporary ? ['--size', String(temporaryBytes)] : []),
    '--tmpfs',
    '/tmp',
  ]
}

/** A place below another comes after it, and what may be written after what may be read, so that it wins. */
function placeMounts({ hidden = [], readOnly, readWrite }: BoxView): string[] {
  const mounts = [
    ...hidden.map((path) => ({ path, words: ['--tmpfs', path] })),
    ...readOnly.map((path) => ({ path, words: ['--ro-bind-try', path, path] })),
    ...readWrite.map((path) => ({ path, words: ['--bind', path, path] })),
  ]
  return mounts
    .toSorted((a, b) => a.path.split('/').length - b.path.split('/').length)
    .flatMap(({ words }) => words)
}

function limited(
  { prlimit }: Isolation,
  argv: readonly string[],
  limits: ProcessLimits | undefined,
  isBoxed: boolean,
): string[] {
  if (limits === undefined) return [...argv]
  const { memoryBytes, processorSeconds, fileBytes, processes } = limits
  // More than this process may have cannot be asked for.
  const openFiles = limits.openFiles && Math.min(limits.openFiles, readOpenFilesLimit() ?? Infinity)
  if (prlimit === undefined) {
    const inShellUnits = [
      memoryBytes === undefined ? undefined : memoryBytes / 1024,
      processorSeconds,
      openFiles,
    ].map((limit) => (limit === undefined ? 'unlimited' : String(Math.ceil(limit))))
    return ['/bin/sh', '-c', limitedStart, 'sh', ...inShellUnits, ...argv]
  }
  const flag = (name: string, limit: number | undefined): string[] =>
    limit === undefined ? [] : [`--${name}=${Math.ceil(limit)}`]
  return [
    prlimit,
    '--core=0',
    ...flag('data', memoryBytes),
    ...flag('cpu', processorSeconds),
    ...flag('fsize', fileBytes),
    ...flag('nofile', openFiles),
    // Without a box, all processes of the user count.
    ...(isBoxed ? flag('nproc', processes) : []),
    '--',
    ...argv,
  ]
}
