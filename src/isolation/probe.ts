import { execFile } from 'node:child_process'
import { access, constants, lstat, readdir, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf, Problem } from '../problem.ts'
import { boxCommand } from './box-command.ts'
import { packagePaths } from './package-paths.ts'
import { findTaskUser } from './task-user.ts'
import {
  asServer,
  noIsolation,
  type BoxView,
  type TaskUser,
  type Isolation,
  type IsolationWish,
  type SystemPath,
} from './isolation.ts'

const run = promisify(execFile)
const probeMs = 10_000
const systemPaths = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/etc', '/nix', '/gnu']
const maskedDepth = 3

/**
 * Finds out, once at the start, what this computer can do to keep apart what users send: boxes are really started.
 * Throws Problem configuration-invalid when a box is required and none can be had.
 * @param variables the server's environment variables: programs are looked for on its PATH
 * @param taskUserName as whom scripts and tasks shall run; needs root and isolation that is required
 */
export async function probeIsolation(
  wish: IsolationWish,
  variables: Readonly<Record<string, string | undefined>>,
  taskUserName?: string,
): Promise<Isolation> {
  const setpriv = await find('setpriv', ['/usr/bin', '/bin'])
  const taskUser = await findTaskUser(taskUserName, wish, setpriv)
  if (wish === 'none') return noIsolation
  const directories = (variables['PATH'] ?? '/usr/local/bin:/usr/bin:/bin')
    .split(':')
    .filter((directory) => directory.startsWith('/'))
  // In the box there is nothing but the system's own programs.
  const prlimit = await find('prlimit', ['/usr/bin', '/bin'])
  const bubblewrap = await find('bwrap', directories)
  const isRoot = process.geteuid?.() === 0
  const system = await findSystem()
  const bare: Isolation = {
    ...noIsolation,
    wish,
    isRoot,
    system,
    masked: await findMasked('/etc', maskedDepth),
    ...(prlimit !== undefined && { prlimit }),
    ...(taskUser !== undefined && { taskUser }),
  }
  const limits = prlimit === undefined ? 'there is no prlimit' : 'prlimit limits what they take'
  if (bubblewrap === undefined) return without(bare, 'bwrap is not installed', limits)
  const minor = await readMinorVersion(bubblewrap)
  const boxed: Isolation = { ...bare, bubblewrap, canLimitTemporary: minor >= 7 }
  const stricter: Isolation = { ...boxed, canForbidNamespaces: minor >= 8 }
  const fault = (await tryBox(asServer(boxed), strict)) ?? (await tryBox(asServer(boxed), loose))
  if (fault !== undefined) return without(bare, `${bubblewrap} cannot make a box here (${fault})`, limits)
  const best = (await tryBox(stricter, strict)) === undefined ? stricter : boxed
  const report = `What users send runs in boxes made by ${bubblewrap}; ${limits}.`
  if (taskUser === undefined) return { ...best, report }
  await checkTaskUser(best, taskUser)
  return { ...best, report: `${report} Scripts and tasks run as the user ${taskUser.name}.` }
}

/** Throws Problem when a box of the task user cannot be made, or shows no package to run. */
async function checkTaskUser(isolation: Isolation, { name }: TaskUser): Promise<void> {
  const fault = await tryBox(isolation, strict)
  if (fault !== undefined)
    throw new Problem('configuration-invalid', `A box for the user ${name} cannot be made here (${fault}).`, {
      hint: 'It takes bubblewrap 0.5 or newer and a server that root starts outside of a container. Or leave out --task-user.',
    })
  const unreadable = await tryBox(
    isolation,
    { ...strict, base: 'node', readOnly: packagePaths() },
    runsNode,
    [process.execPath, ...packagePaths()],
  )
  if (unreadable !== undefined)
    throw new Problem(
      'configuration-invalid',
      `The user ${name} cannot run Node with this package (${unreadable}).`,
      {
        hint: 'Open it to others to read (chmod -R o+rX on where it is installed), or leave out --task-user.',
      },
    )
}

const strict: BoxView = {
  base: 'system',
  readOnly: [],
  readWrite: [],
  network: false,
  isSession: true,
  limits: { openFiles: 256 },
}
const loose: BoxView = { base: 'computer', hidden: ['/tmp'], readOnly: [], readWrite: [], network: true }

const runsNode =
  'node=$1; for path; do [ -r "$path" ] || { echo "$path"; exit; }; done; "$node" -e "" && echo boxed'

/** In a box, the first processes are the box's own. */
const saysBoxed = '[ "$PPID" -le 2 ] && [ "$(id -u)" = "$1" ] && echo boxed'

/** Why a box cannot be started or `script` says something else than `boxed` in it; undefined when all is well. */
async function tryBox(
  isolation: Isolation,
  view: BoxView,
  script = saysBoxed,
  args: readonly string[] = [String(isolation.taskUser?.userId ?? process.geteuid?.())],
): Promise<string | undefined> {
  const [program = '', ...words] = boxCommand(isolation, ['/bin/sh', '-c', script, 'sh', ...args], view)
  try {
    const { stdout } = await run(program, words, { timeout: probeMs, env: {}, cwd: '/' })
    const said = stdout.trim()
    if (said === 'boxed') return undefined
    return said === '' ? 'processes outside of it can be seen from inside, or its user is another' : said
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
    return (said.split('\n').at(-1) ?? '') || messageOf(error)
  }
}

function without(bare: Isolation, reason: string, limits: string): Isolation {
  if (bare.wish === 'required')
    throw new Problem('configuration-invalid', `Isolation is required, but ${reason}.`, {
      hint: 'Install bubblewrap (Debian: apt install bubblewrap) and allow user namespaces; or start with --isolation best-effort, and let only people in whom you trust as yourself.',
    })
  const report = `What users send runs without a box, as the server's user: ${reason}; ${limits}.`
  return { ...bare, report, isWeaker: true }
}

async function find(name: string, directories: readonly string[]): Promise<string | undefined> {
  for (const directory of directories) {
    const path = join(directory, name)
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path
  }
  return undefined
}

/** 8 of 0.8.1; more than all of them from 1.0 on, 0 where it does not tell. */
async function readMinorVersion(bubblewrap: string): Promise<number> {
  const { stdout } = await run(bubblewrap, ['--version'], { timeout: probeMs }).catch(() => ({ stdout: '' }))
  const [, major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(stdout) ?? []).map(Number)
  return major > 0 ? Infinity : minor
}

async function findSystem(): Promise<readonly SystemPath[]> {
  const found: SystemPath[] = []
  for (const path of systemPaths) {
    const entry = await lstat(path).catch(() => undefined)
    if (entry === undefined) continue
    found.push(entry.isSymbolicLink() ? { path, linkTo: await readlink(path) } : { path })
  }
  // Often a link to where a service keeps it: without it no name is found on the network.
  const names = await realpath('/etc/resolv.conf').catch(() => '/etc')
  return names.startsWith('/etc') ? found : [...found, { path: names }]
}

/** What only its owner and group may read: the server's user may be the owner, and would see it in the box. */
async function findMasked(directory: string, depth: number): Promise<Isolation['masked']> {
  const masked: Isolation['masked'][number][] = []
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name)
    const entry = await lstat(path).catch(() => undefined)
    if (entry === undefined || entry.isSymbolicLink()) continue
    const isOpen = (entry.mode & constants.S_IROTH) !== 0
    if (entry.isDirectory()) {
      if (!isOpen) masked.push({ path, kind: 'directory' })
      else if (depth > 1) masked.push(...(await findMasked(path, depth - 1)))
    } else if (!isOpen) masked.push({ path, kind: 'file' })
  }
  return masked
}
