import { describe, expect, it } from 'vitest'
import { readOpenFilesLimit } from './open-files-limit.ts'
import { boxCommand } from './box-command.ts'
import { programEnd } from './box-end.ts'
import { noIsolation, type BoxView, type Isolation } from './isolation.ts'

const isolation: Isolation = {
  ...noIsolation,
  wish: 'required',
  bubblewrap: '/usr/bin/bwrap',
  prlimit: '/usr/bin/prlimit',
  canLimitTemporary: true,
  isRoot: true,
  system: [{ path: '/usr' }, { path: '/bin', linkTo: 'usr/bin' }, { path: '/etc' }],
  masked: [
    { path: '/etc/shadow', kind: 'file' },
    { path: '/etc/ssl/private', kind: 'directory' },
  ],
}
const { bubblewrap: _, ...unboxed } = isolation
const script: BoxView = {
  base: 'node',
  readOnly: ['/opt/molehill/src', '/data/executions/e/work'],
  readWrite: [],
  network: false,
  directory: '/data/executions/e/work',
  isSession: true,
  limits: { memoryBytes: 1000, processorSeconds: 2.5, fileBytes: 30, openFiles: 40, processes: 50 },
}
const limits = '--core=0 --data=1000 --cpu=3 --fsize=30 --nofile=40'

describe('the command that makes a box', () => {
  it('shows a script what Node needs and its work directory, without network and with limits', () => {
    expect(boxCommand(isolation, ['node', 'a b.ts'], script).join(' ')).toBe(
      [
        '/usr/bin/bwrap --unshare-all --die-with-parent --new-session --cap-drop ALL',
        '--ro-bind /usr /usr --symlink usr/bin /bin',
        '--ro-bind-try /etc/ld.so.cache /etc/ld.so.cache --ro-bind-try /etc/localtime /etc/localtime',
        '--ro-bind-try /etc/passwd /etc/passwd --ro-bind-try /etc/group /etc/group',
        '--ro-bind-try /etc/nsswitch.conf /etc/nsswitch.conf',
        '--proc /proc --dev /dev --size 1073741824 --tmpfs /tmp --ro-bind /proc/sys /proc/sys',
        '--ro-bind-try /opt/molehill/src /opt/molehill/src',
        '--ro-bind-try /data/executions/e/work /data/executions/e/work',
        '--remount-ro / --setenv HOME /tmp --setenv TMPDIR /tmp --chdir /data/executions/e/work --',
        `/usr/bin/prlimit ${limits} --nproc=50 -- node a b.ts`,
      ].join(' '),
    )
  })

  it('lets another user in only once root has made it, and forbids that user more of its kind', () => {
    const taskUser = { name: 'low', userId: 7, groupId: 8, setpriv: '/usr/bin/setpriv' }
    const view: BoxView = { ...script, base: 'system', readOnly: ['/opt'], readWrite: ['/data/work'] }
    const boxed: Isolation = { ...isolation, taskUser, canForbidNamespaces: true }
    const way = (path: string): string => `--perms 0755 --dir ${path}`
    expect(boxCommand(boxed, ['true'], view).join(' ')).toBe(
      [
        '/usr/bin/bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --unshare-net',
        '--die-with-parent --new-session --cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP',
        `${way('/')} --ro-bind /usr /usr --symlink usr/bin /bin ${way('/')} --ro-bind /etc /etc`,
        '--ro-bind /dev/null /etc/shadow --tmpfs /etc/ssl/private',
        '--proc /proc --dev /dev --perms 1777 --size 1073741824 --tmpfs /tmp --perms 1777 --tmpfs /dev/shm',
        '--ro-bind /proc/sys /proc/sys --bind /proc/sys/user /proc/sys/user',
        `${way('/')} --ro-bind-try /opt /opt ${way('/data')} --bind /data/work /data/work`,
        '--remount-ro / --setenv HOME /tmp --setenv TMPDIR /tmp --setenv USER low --setenv LOGNAME low',
        '--chdir /data/executions/e/work --',
        '/usr/bin/setpriv --reuid=7 --regid=8 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs --',
        '/usr/bin/bwrap --unshare-user --disable-userns --die-with-parent --cap-drop ALL --bind / / --dev-bind /dev /dev --',
        `/usr/bin/prlimit ${limits} --nproc=50 -- true`,
      ].join(' '),
    )
    // Without a namespace of users around it, all processes of that user would count.
    const plain = boxCommand({ ...boxed, canForbidNamespaces: false }, ['true'], view).join(' ')
    expect(plain).toMatch(/--no-new-privs -- \/usr\/bin\/prlimit .* -- true$/)
    expect(plain).not.toContain('nproc')
  })

  it('shows a task the programs of the system, but not what others of the computer may not read', () => {
    const view: BoxView = { base: 'system', readOnly: ['/opt'], readWrite: ['/data/work'], network: true }
    expect(boxCommand(isolation, ['true'], view).join(' ')).toBe(
      [
        '/usr/bin/bwrap --unshare-all --share-net --die-with-parent --cap-drop ALL',
        '--ro-bind /usr /usr --symlink usr/bin /bin --ro-bind /etc /etc',
        '--ro-bind /dev/null /etc/shadow --tmpfs /etc/ssl/private',
        '--proc /proc --dev /dev --size 1073741824 --tmpfs /tmp --ro-bind /proc/sys /proc/sys',
        '--ro-bind-try /opt /opt --bind /data/work /data/work',
        '--remount-ro / --setenv HOME /tmp --setenv TMPDIR /tmp -- true',
      ].join(' '),
    )
  })

  it('shows the whole computer, but of a hidden directory only what is named', () => {
    const view: BoxView = {
      base: 'computer',
      readOnly: ['/data/executions/e/modules'],
      readWrite: ['/data/executions/e/work'],
      hidden: ['/data'],
      network: true,
    }
    expect(boxCommand({ ...isolation, isRoot: false }, ['true'], view).join(' ')).toBe(
      [
        '/usr/bin/bwrap --unshare-pid --unshare-ipc --die-with-parent --cap-drop ALL',
        '--bind / / --dev-bind /dev /dev --proc /proc --tmpfs /data',
        '--ro-bind-try /data/executions/e/modules /data/executions/e/modules',
        '--bind /data/executions/e/work /data/executions/e/work -- true',
      ].join(' '),
    )
  })

  it('mounts a place below another after it, and one to write after one to read', () => {
    const view: BoxView = {
      base: 'system',
      readOnly: ['/a/b/c', '/a/b'],
      readWrite: ['/a/b'],
      network: false,
    }
    expect(boxCommand(isolation, ['true'], view).join(' ')).toContain(
      '--ro-bind-try /a/b /a/b --bind /a/b /a/b --ro-bind-try /a/b/c /a/b/c',
    )
  })

  it('forbids user namespaces inside where it can, except where all of the computer is seen', () => {
    const able = { ...isolation, canForbidNamespaces: true }
    expect(boxCommand(able, ['true'], script)).toContain('--disable-userns')
    expect(boxCommand(able, ['true'], { ...script, base: 'computer' })).not.toContain('--disable-userns')
    expect(boxCommand(isolation, ['true'], script)).not.toContain('--disable-userns')
  })

  it('only limits where there is no box, and does not count the processes of others', () => {
    expect(boxCommand(unboxed, ['node'], script).join(' ')).toBe(`/usr/bin/prlimit ${limits} -- node`)
  })

  it('asks for no more open files than this process may have', () => {
    const most = readOpenFilesLimit() ?? 0
    expect(most).toBeGreaterThan(0)
    const limits = { openFiles: most + 1 }
    expect(boxCommand(unboxed, ['true'], { ...script, limits })).toContain(`--nofile=${most}`)
  })

  it('limits by the shell where there is no prlimit', () => {
    const command = boxCommand(noIsolation, ['node', 'x'], { ...script, limits: { memoryBytes: 2048 } })
    expect(command.slice(0, 2)).toEqual(['/bin/sh', '-c'])
    expect(command.slice(3)).toEqual(['sh', '2', 'unlimited', 'unlimited', 'node', 'x'])
  })
})

describe('the end of a box', () => {
  it('tells the signal that ended the program in it', () => {
    expect(programEnd(isolation, 137, null)).toEqual({ code: null, signal: 'SIGKILL' })
    expect(programEnd(isolation, 7, null)).toEqual({ code: 7, signal: null })
    expect(programEnd(isolation, null, 'SIGTERM')).toEqual({ code: null, signal: 'SIGTERM' })
    expect(programEnd(noIsolation, 137, null)).toEqual({ code: 137, signal: null })
  })
})
