import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { toJobId } from '../../src/environment/environment.ts'
import { commandText, outputsText, shellWord } from './shell-text.ts'

const awkward = [
  '',
  ' ',
  "it's",
  "'; rm -rf / #",
  '$(id) `id` ${HOME} \\ \\n "',
  'two\nlines\n',
  '-n',
  '*',
  '~',
  'ü 漢 \u0001\u007f',
]

test.each(['dash', 'bash', 'busybox'])('%s reads words and paths back as they were', (program) => {
  const shell = program === 'busybox' ? ['busybox', 'sh'] : [program]
  const [first = '', ...rest] = shell
  const print = `printf '%s\\0' "$@"`
  const script = `set -- ${awkward.map(shellWord).join(' ')}\n${print}\n${outputsText(awkward)}${print}`
  const { stdout, error } = spawnSync(first, [...rest, '-c', script], { encoding: 'utf8' })
  if (error !== undefined) throw error
  expect(stdout.split('\0').slice(0, -1)).toEqual([...awkward, ...awkward])
})

test('a command gets its arguments and variables as they are, whatever their names', () => {
  const directory = mkdtempSync(join(tmpdir(), 'molehill-command-'))
  try {
    const env = { plain: awkward.join('|'), 'odd-name': "'$(id)'", IFS: 'x', PATH: process.env['PATH'] ?? '' }
    const program = 'const { env, argv } = process; console.log(JSON.stringify([argv.slice(1), env]))'
    const command = ['node', '-e', program, '--', ...awkward]
    writeFileSync(
      join(directory, 'command'),
      commandText({ id: toJobId('job-1'), command, env }, { kept: '1', plain: '2' }),
    )
    const { stdout } = spawnSync('dash', ['-c', '. ./command'], { cwd: directory, encoding: 'utf8' })
    const [words, variables] = JSON.parse(stdout) as [string[], Record<string, string>]
    expect(words).toEqual(awkward)
    expect(variables).toMatchObject({
      ...env,
      kept: '1',
      MOLEHILL_JOB_ID: 'job-1',
      MOLEHILL_JOB_DIRECTORY: directory,
    })
  } finally {
    rmSync(directory, { recursive: true })
  }
})
