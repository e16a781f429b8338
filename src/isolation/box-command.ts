import { dirname } from 'node:path'
import { readOpenFilesLimit } from './open-files-limit.ts'
import { hasBox, type BoxView, type Isolation, type ProcessLimits, type TaskUser } from './isolation.ts'

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
  if (isolation.taskUser !== undefined) return boxOfUser(isolation, isolation.taskUser, argv, view)
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
    ...(view.base === 'computer' ? [] : ownTemporary),
    ...(view.directory === undefined ? [] : ['--chdir', view.directory]),
    '--',
    ...limited(isolation, argv, view.limits, true),
  ]
}

const ownTemporary = ['--remount-ro', '/', '--setenv', 'HOME', '/tmp', '--setenv', 'TMPDIR', '/tmp']
const openToAll = ['--perms', '1777']

/**
 * A box that root makes, so that it needs no way through the directories that it shows something of, and in which
 * another user runs. A namespace of users would hold only one, so there is none around it. Where that can be had, a
 * second box in the first, of that user's making, is what forbids such namespaces inside.
 */
function boxOfUser(isolation: Isolation, user: TaskUser, argv: readonly string[], view: BoxView): string[] {
  const { bubblewrap = '', canForbidNamespaces } = isolation
  if (view.base === 'computer') throw new Error('A lower user needs a box that hides what is open to all.')
  const making = [
    '--unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try',
    view.network ? '' : '--unshare-net',
    '--die-with-parent',
    view.isSession === true ? '--new-session' : '',
    '--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP',
  ]
  const mounting = [
    '--perms 1777 --tmpfs /dev/shm --ro-bind /proc/sys /proc/sys',
    // There the second box says that there are no more namespaces of users.
    canForbidNamespaces ? '--bind /proc/sys/user /proc/sys/user' : '',
  ]
  const steppingDown = [
    `--reuid=${user.userId} --regid=${user.groupId} --clear-groups`,
    '--inh-caps=-all --bounding-set=-all --no-new-privs --',
  ]
  const forbidding =
    '--unshare-user --disable-userns --die-with-parent --cap-drop ALL --bind / / --dev-bind /dev /dev --'
  return [
    bubblewrap,
    ...wordsOf(making),
    ...baseMounts(isolation, view),
    ...wordsOf(mounting),
    ...placeMounts(view, waysThrough),
    ...ownTemporary,
    ...['USER', 'LOGNAME'].flatMap((name) => ['--setenv', name, user.name]),
    ...(view.directory === undefined ? [] : ['--chdir', view.directory]),
    '--',
    user.setpriv,
    ...wordsOf(steppingDown),
    ...(canForbidNamespaces ? [bubblewrap, ...wordsOf([forbidding])] : []),
    // Outside of a namespace of users, all processes of the user count.
    ...limited(isolation, argv, view.limits, canForbidNamespaces),
  ]
}

function wordsOf(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(' ')).filter((word) => word !== '')
}

function baseMounts(isolation: Isolation, { base }: BoxView): string[] {
  if (base === 'computer') return ['--bind', '/', '/', '--dev-bind', '/dev', '/dev', '--proc', '/proc']
  const system = isolation.system.filter(({ path }) => base === 'system' || !path.startsWith('/etc'))
  const before = isolation.taskUser === undefined ? () => [] : waysThrough
  return [
    ...system.flatMap(({ path, linkTo }) =>
      linkTo === undefined ? [...before(path), '--ro-bind', path, path] : ['--symlink', linkTo, path],
    ),
    ...(base === 'node' ? nodeFiles : []).flatMap((path) => [...before(path), '--ro-bind-try', path, path]),
    ...(base === 'system' ? isolation.masked : []).flatMap(({ path, kind }) =>
      kind === 'directory' ? ['--tmpfs', path] : ['--ro-bind', '/dev/null', path],
    ),
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    ...(isolation.taskUser === undefined ? [] : openToAll),
    ...(isolation.canLimitTemporary ? ['--size', String(temporaryBytes)] : []),
    '--tmpfs',
    '/tmp',
  ]
}

/** A place below another comes after it, and what may be written after what may be read, so that it wins. */
function placeMounts(
  { hidden = [], readOnly, readWrite }: BoxView,
  before: (path: string) => readonly string[] = () => [],
): string[] {
  const mounts = [
    ...hidden.map((path) => ({ path, words: ['--tmpfs', path] })),
    ...readOnly.map((path) => ({ path, words: ['--ro-bind-try', path, path] })),
    ...readWrite.map((path) => ({ path, words: ['--bind', path, path] })),
  ]
  return mounts
    .toSorted((a, b) => a.path.split('/').length - b.path.split('/').length)
    .flatMap(({ path, words }) => [...before(path), ...words])
}

/** What bubblewrap makes of itself above a place lets only root through. */
function waysThrough(path: string): string[] {
  return ['--perms', '0755', '--dir', dirname(path)]
}

function limited(
  { prlimit }: Isolation,
  argv: readonly string[],
  limits: ProcessLimits | undefined,
  isCounted: boolean,
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
    ...(isCounted ? flag('nproc', processes) : []),
    '--',
    ...argv,
  ]
}
