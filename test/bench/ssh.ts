// What jobs and files behind SSH cost beside plain tools over the same server: node test/bench/ssh.ts [--jobs 1000]
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { plugin } from '../../environments/ssh/index.ts'
import { toJobId, type JobHandle, type JobRequest } from '../../src/environment/environment.ts'
import { until } from '../conformance/until.ts'
import { runCommand } from '../daemons/run-command.ts'
import { startSshd, type Sshd } from '../daemons/sshd.ts'

const { values } = parseArgs({ options: { jobs: { type: 'string', default: '1000' } } })
/** None leaves the part with jobs out. */
const jobCount = Number(values.jobs)
const connectionCount = 30
const slots = 2
const noSignal = new AbortController().signal
const directory = mkdtempSync(join(tmpdir(), 'molehill-bench-ssh-'))
const server = await startSshd()
let environmentCount = 0

interface Row {
  readonly what: string
  readonly ms: number
  readonly beside: string
  readonly besideMs: number
  readonly wanted: string
}

try {
  const rows = [...(jobCount > 0 ? await jobs() : []), ...(await files())]
  const text = rows.map(({ what, ms, beside, besideMs, wanted }) =>
    [
      what.padEnd(44),
      seconds(ms),
      beside.padEnd(46),
      seconds(besideMs),
      `${(ms / besideMs).toFixed(3)} (${wanted})`,
    ].join('  '),
  )
  console.log(['what, seconds, beside, seconds, ratio (wanted)', ...text].join('\n'))
} finally {
  rmSync(directory, { recursive: true, force: true })
  await server.stop()
}

async function jobs(): Promise<readonly Row[]> {
  const work = join(directory, 'empty')
  mkdirSync(work)
  const environment = await open(server)
  await environment.check(noSignal)
  const requests = Array.from({ length: jobCount }, (_, index) => request(work, `job-${index}`))
  const began = performance.now()
  const outcomes = await environment.submit(requests, noSignal)
  const submitted = performance.now()
  const handles = [...outcomes.values()].flatMap((each) => (each.kind === 'accepted' ? [each.handle] : []))
  await until(
    'all jobs are over',
    async () => {
      const states = await environment.observe(handles, noSignal)
      return [...states.values()].every(({ kind }) => kind === 'exited') ? true : undefined
    },
    undefined,
    600_000,
  )
  const over = performance.now()
  const collecting = handles.map((handle: JobHandle) =>
    environment.collect(handle, join(directory, 'out', handle.id), noSignal),
  )
  await Promise.all(collecting)
  const collected = performance.now()
  await environment.release(handles, noSignal)
  const released = performance.now()
  await environment.close()
  console.log(
    `${jobCount} jobs: submit ${seconds(submitted - began)}, until over ${seconds(over - submitted)}, ` +
      `collect ${seconds(collected - over)}, release ${seconds(released - collected)}`,
  )
  const connecting = await time(async () => {
    for (let count = 0; count < connectionCount; count += 1) await ssh('true')
  })
  const list = `seq ${jobCount} | xargs -P ${slots} -n 1`
  const plain = await time(() => ssh(`${list} true`))
  const script = 'mkdir -p "x/$1/work" && cd "x/$1/work" && true >../stdout 2>../stderr; echo $? >../exit'
  const logged = await time(() => ssh(`${list} sh -c '${script}' sh`))
  const perJob = `one ssh a job (${connectionCount} measured)`
  const toOver = over - began
  return [
    {
      what: `${jobCount} jobs, submit to all over`,
      ms: toOver,
      beside: perJob,
      besideMs: (connecting / connectionCount) * jobCount,
      wanted: 'at most 0.05',
    },
    {
      what: '',
      ms: toOver,
      beside: `xargs -P${slots} sh: directory, logs, exit code`,
      besideMs: logged,
      wanted: 'at most 1.5',
    },
    { what: '', ms: toOver, beside: `xargs -P${slots} true: nothing kept`, besideMs: plain, wanted: '-' },
    {
      what: '... with collect and release',
      ms: released - began,
      beside: `xargs -P${slots} sh: directory, logs, exit code`,
      besideMs: logged,
      wanted: '-',
    },
  ]
}

async function files(): Promise<readonly Row[]> {
  const large = join(directory, 'large')
  mkdirSync(large)
  const block = randomBytes(1_000_000)
  writeFileSync(join(large, 'file'), Buffer.concat(Array.from({ length: 200 }, () => block)))
  const small = join(directory, 'small')
  for (let count = 0; count < 5000; count += 1) {
    const place = join(small, `d${count % 50}`)
    mkdirSync(place, { recursive: true })
    writeFileSync(join(place, `f${count}`), randomBytes(2048))
  }
  const rows: Row[] = []
  for (const [what, tree] of [
    ['200 MB in one file', large],
    ['5,000 files of 2 KiB', small],
  ] as const) {
    const environment = await open(server)
    await environment.check(noSignal)
    const ms = await time(() => environment.submit([request(tree, `files-${rows.length}`)], noSignal))
    const again = await time(() => environment.submit([request(tree, `again-${rows.length}`)], noSignal))
    console.log(`${what}: first submit ${seconds(ms)}, second ${seconds(again)}`)
    await environment.discard?.(tree, noSignal)
    await environment.close()
    const plain = (words: string) =>
      time(() =>
        runCommand(
          [
            'bash',
            '-c',
            `set -o pipefail; tar -c -C '${tree}' . | ssh ${words} -F '${server.configFile}' ${server.alias} 'mkdir -p t && tar -x -C t'`,
          ],
          { timeoutMs: 120_000 },
        ),
      )
    const besideMs = await plain('')
    rows.push({ what: `${what}, first submit`, ms, beside: 'tar | ssh tar', besideMs, wanted: 'at most 1.3' })
    const besideAesMs = await plain('-c aes128-gcm@openssh.com')
    rows.push({ what: '', ms, beside: 'tar | ssh -c aes128-gcm tar', besideMs: besideAesMs, wanted: '-' })
  }
  return rows
}

function open({ host, user, port, identityFile, knownHostsFile }: Sshd) {
  environmentCount += 1
  const options = plugin.options.parse({ host, user, port, identityFile, knownHostsFile, slots })
  const context = { directory: join(directory, `environment-${environmentCount}`), variables: process.env }
  return plugin.create('ssh', options, { ...context, now: Date.now, warn: console.warn })
}

function request(workDirectory: string, id: string): JobRequest {
  return {
    id: toJobId(id),
    command: ['true'],
    env: {},
    workDirectory,
    inputs: [],
    outputs: [],
    resources: {},
  }
}

async function ssh(command: string): Promise<void> {
  const child = spawn('ssh', ['-F', server.configFile, server.alias, command], { stdio: 'ignore' })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${command} ended with ${code}`)
}

async function time(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`.padStart(9)
}
