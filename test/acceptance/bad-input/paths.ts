/** All are answered as if nothing were there: 404. */
export interface PathRow {
  readonly name: string
  /** As it stands in the query. */
  readonly path: string
}

const raw = (name: string, path: string): PathRow => ({ name, path })
const plain = (name: string, path: string): PathRow => ({ name, path: encodeURIComponent(path) })

/**
 * The workflow whose job makes what the rows below ask for. `OUTSIDE` stands for a directory that is none of its
 * business.
 */
export const plantingScript = `
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync } from 'node:fs'
import { functionTask, string } from 'molehill'
const where = string('where')
export default functionTask('plant', {
  outputs: [where],
  run: () => {
    for (const [name, target] of [
      ['out.txt', 'OUTSIDE/secret.txt'],
      ['out', 'OUTSIDE'],
      ['up', '..'],
      ['far-up', '../../../outside'],
      ['here', '.'],
      ['chain', 'here/..'],
      ['one', 'two'],
      ['two', 'one'],
      ['environment', '/proc/self/environ'],
      ['root', '/proc/self/root'],
      ['descriptor', '/proc/self/fd/0'],
      ['zeros', '/dev/zero'],
      ['dangling', 'nowhere'],
    ])
      symlinkSync(target, name)
    execFileSync('mkfifo', ['pipe'])
    mkdirSync('loop')
    symlinkSync('..', 'loop/back')
    symlinkSync('pipe', 'to-pipe')
    return { where: process.cwd() }
  },
})
`

/** Named pipes, circles and all that leads out, as the job above made them. */
export const planted = {
  outward: ['out.txt', 'out', 'up', 'far-up', 'chain', 'environment', 'root', 'descriptor', 'zeros'],
  inward: ['here', 'loop/back'],
  nothing: ['pipe', 'to-pipe', 'one', 'two', 'dangling'],
} as const

export const pathRows: readonly PathRow[] = [
  plain('a parent step', '..'),
  plain('parent steps to a system file', '../../../../../../etc/passwd'),
  plain('parent steps to the preferences', '../../../preferences.json'),
  plain('a parent step behind a name', 'data/../../journal.db'),
  plain('a parent step that stays inside', 'data/../Pi.ts'),
  plain('an absolute path', '/etc/passwd'),
  plain('two slashes', '//etc/passwd'),
  plain('a drive', 'C:\\Windows\\win.ini'),
  plain('backslashes', '..\\..\\preferences.json'),
  plain('NUL behind a good name', 'Pi.ts\0.txt'),
  plain('a line break', 'Pi.ts\n'),
  plain('escapes', '\u001b[2J\u001b[31mPi.ts'),
  plain('a path of 5,000 letters', 'x/'.repeat(2500)),
  plain('a part of 256 letters', 'x'.repeat(256)),
  plain('a file used as a directory', 'Pi.ts/x'),
  plain('a home directory', '~/.ssh/id_ed25519'),
  plain('a URL', 'file:///etc/passwd'),
  plain('a variable', '$HOME/../..'),
  plain('a pattern', '*'),
  raw('parent steps that are encoded', '%2e%2e%2f%2e%2e%2fpreferences.json'),
  raw('parent steps that are encoded twice', '%252e%252e%252f%252e%252e%252fpreferences.json'),
  raw('parent steps in over-long UTF-8', '%c0%ae%c0%ae%c0%af%c0%ae%c0%ae%c0%afpreferences.json'),
  raw('parent steps in full-width letters', '%ef%bc%8e%ef%bc%8e%ef%bc%8fpreferences.json'),
  raw('bytes that are not UTF-8', '%ff%fe'),
  raw('percent signs without meaning', '%zz%'),
  ...planted.outward.map((name) => plain(`a link that a job made: ${name}`, name)),
  ...planted.nothing.map((name) => plain(`what a job made: ${name}`, name)),
  plain('a file behind a link of a job', 'out/secret.txt'),
  plain('a file behind a link of a job and more steps', 'here/here/out/secret.txt'),
  plain('the preferences behind a link of a job', 'up/../../preferences.json'),
  plain('the journal behind a link of a job', 'up/journal.jsonl'),
  plain('a system file behind the root', 'root/etc/passwd'),
  plain('a loop of 2,000 steps', 'loop/back/'.repeat(200)),
]
