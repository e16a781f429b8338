import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { noSignal } from '../../../test/conformance/trial.ts'
import { EnvironmentError, toJobId, type CollectedFiles, type JobRequest } from '../environment.ts'
import type { Host, HostCommand } from '../host.ts'
import { LocalHost } from '../local-host.ts'
import type { JobFiles } from './job-files.ts'
import { batchScript } from './job-script.ts'
import { openJobFiles } from './open-job-files.ts'
import { executionPath, jobPath, keyOf, type JobPlace } from './places.ts'

let directory: string
let work: string
let commands: HostCommand[]
/** After so many commands, the host cannot be reached. */
let commandsAtMost: number
/** What the host finds programs by. */
let path: string
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'molehill-files-')))
  work = join(directory, 'work')
  mkdirSync(join(work, 'data'), { recursive: true })
  writeFileSync(join(work, 'data/x.csv'), 'original')
  writeFileSync(join(work, 'model.sh'), '#!/bin/sh\necho model', { mode: 0o755 })
  commands = []
  commandsAtMost = Infinity
  path = process.env['PATH'] ?? ''
})
afterEach(() => {
  spawnSync('chmod', ['-R', 'u+rwX', directory])
  rmSync(directory, { recursive: true, force: true })
})

/** A login that talks: its words come before every answer. */
function talkingHost(sharesFiles: boolean): Host {
  const host = new LocalHost({
    variables: { PATH: path, LANG: 'tr_TR.UTF-8' },
    sharesFiles,
  })
  return {
    name: host.name,
    sharesFiles,
    run: (command, signal) => {
      if (commands.length >= commandsAtMost) throw new EnvironmentError('the line is cut')
      commands.push(command)
      const argv = ['sh', '-c', 'echo "Welcome! 100% full"; echo "mail for you" >&2; exec "$@"', 'sh']
      return host.run({ ...command, argv: [...argv, ...command.argv] }, signal)
    },
    open: (argv, signal) => host.open(argv, signal),
    close: () => host.close(),
  }
}

function open(sharesFiles: boolean, now: () => number = Date.now): JobFiles {
  let count = 0
  return openJobFiles(talkingHost(sharesFiles), {
    base: join(directory, 'base'),
    directory: join(directory, 'own'),
    prologue: ['export LOADED=module'],
    newMark: () => `mark${process.pid}x${(count += 1)}`,
    now,
  })
}

function request(id: string, script: string, more: Partial<JobRequest> = {}): JobRequest {
  return {
    id: toJobId(id),
    command: ['sh', '-c', script],
    env: {},
    workDirectory: work,
    inputs: [],
    outputs: [],
    resources: {},
    ...more,
  }
}

const placeOf = ({ id, workDirectory }: JobRequest): JobPlace => ({ id, key: keyOf(workDirectory) })

async function prepare(files: JobFiles, requests: readonly JobRequest[]): Promise<void> {
  const table = `${executionPath(keyOf(work))}/batches/b/jobs`
  const jobs = requests.map((one) => ({ request: one, note: 'b some note' }))
  const refused = await files.prepare(
    jobs,
    [{ path: table, text: requests.map(({ id }) => `${id}\n`).join('') }],
    noSignal,
  )
  expect([...refused]).toEqual([])
}

/** Runs all jobs that were prepared together, as a scheduler would. */
async function run(files: JobFiles, count: number): Promise<void> {
  const base = await files.base(noSignal)
  const place = join(base, executionPath(keyOf(work)))
  const script = join(directory, 'script')
  writeFileSync(
    script,
    batchScript({
      directives: [],
      index: '$NUMBER',
      jobsFile: join(place, 'batches/b/jobs'),
      jobsDirectory: join(place, 'jobs'),
      stopGraceMs: 100,
    }),
  )
  for (let number = 0; number < count; number += 1)
    execFileSync('setsid', ['-w', 'bash', script], { env: { ...process.env, NUMBER: String(number) } })
}

async function runOne(files: JobFiles, one: JobRequest): Promise<CollectedFiles> {
  await prepare(files, [one])
  await run(files, 1)
  return files.collect(placeOf(one), join(directory, 'collected'), noSignal)
}

const collected = (path: string): string => readFileSync(join(directory, 'collected', path), 'utf8')

describe.each([true, false])('files of jobs on a host that shares files: %s', (sharesFiles) => {
  test('a job sees its work directory, inputs and shared files, and gives its outputs', async () => {
    mkdirSync(join(directory, 'runtime/lib'), { recursive: true })
    writeFileSync(join(directory, 'runtime/lib/program'), 'echo runtime', { mode: 0o755 })
    writeFileSync(join(directory, 'input'), 'input')
    const files = open(sharesFiles)
    const script =
      'cat data/x.csv in/put; ./model.sh; .rt/lib/program; echo $LOADED; mkdir -p out/deep; echo 1 > out/deep/r; echo 2 > "ü \\ \n."'
    const result = await runOne(
      files,
      request('job', script, {
        inputs: [{ from: join(directory, 'input'), to: 'in/put' }],
        shared: [{ from: join(directory, 'runtime'), to: '.rt' }],
        outputs: [
          { path: './out' },
          { path: 'out/deep/r' },
          { path: 'ü \\ \n.' },
          { path: 'none' },
          { path: 'maybe', optional: true },
        ],
      }),
    )
    expect(readFileSync(result.stderr, 'utf8')).toBe('')
    expect(readFileSync(result.stdout, 'utf8')).toBe('originalinputmodel\nruntime\nmodule\n')
    expect(result).toMatchObject({ files: ['./out', 'out/deep/r', 'ü \\ \n.'], missing: ['none'] })
    expect([collected('out/deep/r'), collected('ü \\ \n.')]).toEqual(['1\n', '2\n'])
  })

  test('links are followed inside, and nothing else comes in through them', async () => {
    writeFileSync(join(directory, 'secret'), 'secret')
    const script = [
      'echo 1 > real; ln -s real inside; ln -s data/x.csv tree; ln -s "$SECRET" outside',
      'mkdir good bad; ln -s ../real good/link; ln -s /etc/hostname bad/link; echo 2 > bad/file; mkfifo pipe',
      'mkdir loop; ln -s . loop/loop; ln -s /etc etc',
    ].join('\n')
    const names = ['inside', 'tree', 'outside', 'good', 'bad', 'pipe', 'loop', 'etc/hostname']
    const result = await runOne(
      open(sharesFiles),
      request('job', script, {
        env: { SECRET: join(directory, 'secret') },
        outputs: names.map((path) => ({ path })),
      }),
    )
    expect(result.files).toEqual(['inside', 'tree', 'good'])
    expect([collected('inside'), collected('tree'), collected('good/link')]).toEqual([
      '1\n',
      'original',
      '1\n',
    ])
    const came = readdirSync(join(directory, 'collected'), { recursive: true, encoding: 'utf8' })
    expect(came.filter((name) => name !== 'etc').sort()).toEqual(['good', 'good/link', 'inside', 'tree'])
  })

  test('marks tell how far each job is', async () => {
    const files = open(sharesFiles)
    const requests = ['one', 'two', 'three'].map((id) => request(id, 'exit 7'))
    await prepare(files, requests)
    const places = [...requests.map(placeOf), { id: toJobId('unknown'), key: keyOf(work) }]
    await files.markCancelled([places[1]!, places[3]!], noSignal)
    await run(files, 1)
    const jobs = join(await files.base(noSignal), executionPath(keyOf(work)), 'jobs')
    writeFileSync(join(jobs, 'three/started'), 'node7\n')
    writeFileSync(join(jobs, 'three/exit'), '')
    const marks = await files.look(places, noSignal)
    expect(marks.get(places[0]!.id)).toMatchObject({
      kind: 'ended',
      end: { exitCode: 7 },
      isCancelled: false,
    })
    expect(marks.get(places[1]!.id)).toEqual({ kind: 'waiting', isCancelled: true })
    expect(marks.get(places[2]!.id)).toEqual({ kind: 'started', host: 'node7', isCancelled: false })
    expect(marks.get(places[3]!.id)).toEqual({ kind: 'absent' })
    await files.markCancelled([places[0]!], noSignal)
    expect((await files.look([places[0]!], noSignal)).get(places[0]!.id)).toMatchObject({
      isCancelled: false,
    })
  })

  test('jobs are found by their ids alone, small files are read and written', async () => {
    const files = open(sharesFiles)
    const one = request('one', 'exit 0')
    await prepare(files, [one])
    expect(await files.find([one.id, toJobId('two')], noSignal)).toEqual([
      { ...placeOf(one), note: 'b some note' },
    ])
    await files.write([{ path: 'executions/a', text: 'ü\nb\n' }], noSignal)
    expect(await files.read(['executions/a', 'executions/none'], noSignal)).toEqual(
      new Map([['executions/a', 'ü\nb\n']]),
    )
  })

  test('removing deletes what jobs left, even without permission, and batches without jobs', async () => {
    const files = open(sharesFiles)
    const requests = [request('one', 'mkdir a; : > a/b; chmod 500 a; ln -s / root'), request('two', 'exit 0')]
    await prepare(files, requests)
    await run(files, 2)
    const [one, two] = requests.map(placeOf)
    await files.collect(one!, join(directory, 'collected'), noSignal)
    const place = join(await files.base(noSignal), executionPath(keyOf(work)))
    await files.remove([one!], noSignal)
    expect(readdirSync(join(place, 'jobs'))).toEqual(['two'])
    expect(readdirSync(join(place, 'batches'))).toEqual(['b'])
    await files.remove([one!, two!], noSignal)
    expect(readdirSync(join(place, 'jobs'))).toEqual([])
    expect(readdirSync(join(place, 'batches'))).toEqual([])
    await expect(files.collect(one!, join(directory, 'collected'), noSignal)).rejects.toThrow('collected')
  })

  test('discarding leaves nothing of the execution', async () => {
    const files = open(sharesFiles)
    await prepare(files, [request('one', 'exit 0')])
    const base = await files.base(noSignal)
    await files.discard(work, noSignal)
    await files.discard(work, noSignal)
    expect([readdirSync(join(base, 'executions')), readdirSync(join(base, 'shared'))]).toEqual([[], []])
    // And it can be used again.
    await runOne(files, request('two', 'cat data/x.csv'))
  })

  test('a job that is sent again while it begins reads one whole command or the other', async () => {
    const files = open(sharesFiles)
    const one = request('one', 'exit 0')
    await prepare(files, [one])
    const command = join(await files.base(noSignal), jobPath(placeOf(one)), 'command')
    const first = readFileSync(command, 'utf8')
    const reader = openSync(command, 'r')
    try {
      await files.prepare([{ request: one, note: 'another 0' }], [], noSignal)
      expect(readFileSync(reader, 'utf8')).toBe(first)
    } finally {
      closeSync(reader)
    }
    expect(readFileSync(command, 'utf8')).toMatch(/^# another 0\n/)
    expect(readdirSync(dirname(command)).toSorted()).toEqual(['command', 'work'])
  })

  test('a file that is written again stays whole for who is reading it', async () => {
    const files = open(sharesFiles)
    const path = join(await files.base(noSignal), 'runners/program')
    await files.write([{ path: 'runners/program', text: 'first' }], noSignal)
    const reader = openSync(path, 'r')
    try {
      await files.write([{ path: 'runners/program', text: 'second' }], noSignal)
      expect(readFileSync(reader, 'utf8')).toBe('first')
    } finally {
      closeSync(reader)
    }
    expect(readFileSync(path, 'utf8')).toBe('second')
    expect(readdirSync(dirname(path))).toEqual(['program'])
  })

  test('an input that cannot be read spoils its own job only', async () => {
    const files = open(sharesFiles)
    const input = { from: join(directory, 'gone'), to: 'gone' }
    const bad = request('bad', 'exit 0', { inputs: [input], outputs: [{ path: 'gone' }] })
    const good = request('good', 'exit 0')
    const jobs = [bad, good].map((one) => ({ request: one, note: 'b' }))
    const refused = await files.prepare(jobs, [], noSignal)
    expect([...refused.keys()]).toEqual(['bad'])
    const marks = await files.look([placeOf(bad), placeOf(good)], noSignal)
    expect([...marks.values()].map(({ kind }) => kind)).toEqual(['absent', 'waiting'])
  })

  test('an inspection tells of the host, the shell, the work directory, the clock and the disk', async () => {
    const findings = await open(sharesFiles).inspect(noSignal)
    expect(findings.map(({ what }) => what)).toEqual(['host', 'shell', 'work directory', 'clock', 'disk'])
    expect(findings.filter(({ isGood }) => !isGood)).toEqual([])
  })

  test('an inspection finds that there is no tar', async () => {
    mkdirSync(join(directory, 'bin'))
    writeFileSync(join(directory, 'bin/tar'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    path = `${join(directory, 'bin')}:${path}`
    expect((await open(sharesFiles).inspect(noSignal))[1]).toMatchObject({
      what: 'shell',
      isGood: false,
      message: expect.stringContaining('no tar'),
    })
  })

  test.each([
    ['behind', 600_000],
    ['ahead of', -600_000],
  ])("an inspection finds a clock that is %s the server's", async (where, offMs) => {
    const findings = await open(sharesFiles, () => Date.now() + offMs).inspect(noSignal)
    expect(findings.filter(({ isGood }) => !isGood)).toEqual([
      {
        what: 'clock',
        isGood: false,
        message: expect.stringMatching(`^The clock there is (599|600|601) s ${where} the server's\\.$`),
        fix: expect.stringContaining('NTP'),
      },
    ])
  })

  test('a base that cannot be made is an error of the environment', async () => {
    writeFileSync(join(directory, 'base'), 'a file')
    const files = open(sharesFiles)
    await expect(files.base(noSignal)).rejects.toThrow('base')
    expect((await files.inspect(noSignal))[1]).toMatchObject({ isGood: false, what: 'work directory' })
  })
})

describe('what travels', () => {
  test('the work directory goes once, and jobs cannot change it', async () => {
    const files = open(false)
    await prepare(files, [request('one', 'echo x > data/x.csv', { outputs: [{ path: 'data/x.csv' }] })])
    const first = commands.length
    await prepare(files, [request('two', 'exit 0')])
    // One question whether it is there, one stream of jobs.
    expect(commands.length - first).toBe(2)
    const base = await files.base(noSignal)
    const [hash] = readdirSync(join(base, 'shared'))
    const tree = join(base, 'shared', hash!, 'content')
    expect(readdirSync(join(base, 'shared'))).toHaveLength(1)
    expect(statSync(join(tree, 'data/x.csv')).mode & 0o777).toBe(0o400)
    expect(statSync(join(tree, 'model.sh')).mode & 0o777).toBe(0o500)
    expect(statSync(tree).mode & 0o222).toBe(0)
  })

  test.each([
    ['openssl', true],
    ['sha256sum where openssl does not work', false],
  ])(
    'a large file goes on where it was broken off, and a wrong part is sent anew: %s',
    async (_, isThere) => {
      if (!isThere) {
        mkdirSync(join(directory, 'bin'))
        writeFileSync(join(directory, 'bin', 'openssl'), '#!/bin/sh\nexit 127', { mode: 0o755 })
        path = `${join(directory, 'bin')}:${path}`
      }
      const node = join(directory, 'node')
      const bytes = Buffer.alloc(9 * 1024 ** 2, 'molehill')
      writeFileSync(node, bytes, { mode: 0o755 })
      const shared = [{ from: node, to: 'node' }]
      const files = open(false)
      const base = await files.base(noSignal)
      await prepare(files, [request('one', 'exit 0', { shared })])
      const hash = readdirSync(join(base, 'shared')).find((name) =>
        statSync(join(base, 'shared', name, 'content')).isFile(),
      )
      const content = join(base, 'shared', hash!, 'content')
      expect(readFileSync(content).equals(bytes)).toBe(true)
      for (const damage of [(part: string) => truncateSync(part, 5_000_000), damageEnd, lengthen]) {
        const part = join(base, 'shared', `tree.${hash!}`, 'part.0.1')
        mkdirSync(dirname(part))
        writeFileSync(part, bytes)
        damage(part)
        chmodSync(content, 0o700)
        rmSync(join(base, 'shared', hash!), { recursive: true })
        await prepare(files, [request('two', 'exit 0', { shared })])
        expect(readFileSync(content).equals(bytes)).toBe(true)
        expect(statSync(content).mode & 0o777).toBe(0o500)
        expect(existsSync(dirname(part))).toBe(false)
      }
    },
  )

  test('a work directory goes on where it was broken off: what has arrived is not sent again', async () => {
    const large = Buffer.alloc(9 * 1024 ** 2, 'molehill')
    for (const name of ['data/a', 'data/b', 'data/c']) writeFileSync(join(work, name), large)
    writeFileSync(join(work, 'z'), 'the last')
    // The base, what is there, what was begun, the directories, `a`; then the same with `b` instead of the last two.
    for (const untilCut of [5, 4]) {
      commandsAtMost = commands.length + untilCut
      await expect(prepare(open(false), [request('one', 'exit 0')])).rejects.toThrow('the line is cut')
    }
    commandsAtMost = Infinity
    const before = commands.length
    const files = open(false)
    await prepare(files, [request('one', 'exit 0')])
    // After the first three `c`, the small files, putting it in its place, its use, the jobs.
    expect(commands.length - before).toBe(8)
    const base = await files.base(noSignal)
    const [hash] = readdirSync(join(base, 'shared'))
    const tree = join(base, 'shared', hash!, 'content')
    for (const name of ['data/a', 'data/b', 'data/c'])
      expect(readFileSync(join(tree, name)).equals(large)).toBe(true)
    expect(readFileSync(join(tree, 'z'), 'utf8')).toBe('the last')
    expect(statSync(join(tree, 'model.sh')).mode & 0o777).toBe(0o500)
  })

  function damageEnd(part: string): void {
    writeFileSync(part, 'x', { flag: 'r+' })
  }

  function lengthen(part: string): void {
    writeFileSync(part, 'x', { flag: 'a' })
  }

  test('the outputs of many jobs come in one stream, their exit files in one answer', async () => {
    const files = open(false)
    const requests = Array.from({ length: 40 }, (_, index) =>
      request(`job${index}`, `echo ${index} > r`, { outputs: [{ path: 'r' }] }),
    )
    await prepare(files, requests)
    await run(files, requests.length)
    const before = commands.length
    await files.look(requests.map(placeOf), noSignal)
    const all = await Promise.all(
      requests.map((one) => files.collect(placeOf(one), join(directory, 'collected', one.id), noSignal)),
    )
    await files.remove(requests.map(placeOf), noSignal)
    expect(commands.length - before).toBe(3)
    expect(all.every(({ missing }) => missing.length === 0)).toBe(true)
    expect(collected('job39/r')).toBe('39\n')
  })

  test('an output whose name holds a line break comes from a host whose tar writes PAX by itself', async () => {
    const programs = join(directory, 'programs')
    mkdirSync(programs)
    const tar = execFileSync('which', ['tar'], { encoding: 'utf8' }).trim()
    writeFileSync(join(programs, 'tar'), `#!/bin/sh\nTAR_OPTIONS=--format=posix exec ${tar} "$@"\n`, {
      mode: 0o755,
    })
    path = `${programs}:${path}`
    const name = 'a long name\n'.repeat(15)
    const result = await runOne(
      open(false),
      request('job', 'echo 1 > "$NAME"', { env: { NAME: name }, outputs: [{ path: name }] }),
    )
    expect(result).toMatchObject({ files: [name], missing: [] })
    expect(collected(name)).toBe('1\n')
  })

  test('what one execution no longer uses stays while another one does', async () => {
    const files = open(false)
    await prepare(files, [request('one', 'exit 0')])
    const twin = join(directory, 'twin')
    execFileSync('cp', ['-a', work, twin])
    await files.prepare(
      [{ request: request('two', 'exit 0', { workDirectory: twin }), note: 'b' }],
      [],
      noSignal,
    )
    const shared = join(await files.base(noSignal), 'shared')
    expect(readdirSync(shared)).toHaveLength(1)
    await files.discard(work, noSignal)
    expect(readdirSync(shared)).toHaveLength(1)
    await files.discard(twin, noSignal)
    expect(readdirSync(shared)).toHaveLength(0)
  })

  test('a link of the work directory that leads out of it brings the file', async () => {
    writeFileSync(join(directory, 'elsewhere'), 'elsewhere')
    symlinkSync('../elsewhere', join(work, 'link'))
    symlinkSync('data', join(work, 'short'))
    const result = await runOne(open(false), request('job', 'cat link short/x.csv'))
    expect(readFileSync(result.stdout, 'utf8')).toBe('elsewhereoriginal')
  })
})

test('paths of jobs lie below those of their execution', () => {
  const place = { id: toJobId('a'), key: keyOf('/x') }
  expect(jobPath(place).startsWith(`${executionPath(place.key)}/`)).toBe(true)
})

test('links are followed inside of what the request allows, and nowhere else', async () => {
  const own = join(directory, 'own-data')
  const outside = join(directory, 'outside')
  mkdirSync(own)
  writeFileSync(join(own, 'kept'), 'kept')
  mkdirSync(outside)
  writeFileSync(join(outside, 'secret'), 'secret')
  symlinkSync(join(outside, 'secret'), join(work, 'by-link'))
  symlinkSync(outside, join(own, 'directory'))
  const more = {
    linksWithin: own,
    inputs: [
      { from: join(own, 'kept'), to: 'kept' },
      { from: own, to: 'all' },
    ],
  }
  const files = open(false)
  const sound = request('within-1', 'true', more)
  const stray = request('within-2', 'true', {
    ...more,
    inputs: [{ from: join(own, 'directory/secret'), to: 'x' }],
  })
  const refused = await files.prepare(
    [
      { request: sound, note: 'n' },
      { request: stray, note: 'n' },
    ],
    [],
    noSignal,
  )
  expect([...refused.keys()]).toEqual([stray.id])
  expect(refused.get(stray.id)).toContain('leads out of')
  const place = join(directory, 'base', jobPath({ id: sound.id, key: keyOf(sound.workDirectory) }), 'work')
  expect(readFileSync(join(place, 'all/kept'), 'utf8')).toBe('kept')
  expect(existsSync(join(place, 'all/directory'))).toBe(false)
  expect(existsSync(join(place, 'by-link'))).toBe(false)
})

test('a file system that does not tell has not lost a job', async () => {
  const files = open(true)
  const job = request('untold-1', 'true')
  await prepare(files, [job])
  const execution = join(directory, 'base', executionPath(keyOf(work)))
  renameSync(execution, `${execution}.aside`)
  // Any path through it fails otherwise than one that is not there.
  symlinkSync(execution, execution)
  await expect(files.look([placeOf(job)], noSignal)).rejects.toThrow(EnvironmentError)
  rmSync(execution)
  renameSync(`${execution}.aside`, execution)
  expect((await files.look([placeOf(job)], noSignal)).get(job.id)).toMatchObject({ kind: 'waiting' })
})
