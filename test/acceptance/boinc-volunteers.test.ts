import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { create } from 'tar'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { BoincClient } from '../daemons/boinc.ts'
import { claimPorts, type PortBlock } from '../daemons/ports.ts'
import { describeWith } from '../daemons/present.ts'
import { molehill } from '../helpers/command-line.ts'
import { executionDirectory, packScript, startLife, TortureClient, type Life } from '../torture/server.ts'

const run = promisify(execFile)
/** A round trip takes half a minute, and more where the machine is busy. */
const patienceMs = 600_000

describeWith('boinc', 'a server with volunteers, whose clients are real', () => {
  let directory: string
  let dataDirectory: string
  let ports: PortBlock
  let url: string
  let life: Life | undefined
  const clients: BoincClient[] = []
  const user = new TortureClient()

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-volunteers-'))
    dataDirectory = join(directory, 'data')
    ports = await claimPorts()
    url = `http://127.0.0.1:${ports.first}/boinc/`
    await user.login(await serve())
  }, 300_000)
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.stop()))
    await life?.end('SIGTERM')
    await ports.release()
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }, 300_000)

  const serve = async (): Promise<Life> =>
    (life = await startLife(dataDirectory, { flags: ['--volunteers', '--port', String(ports.first)] }))

  /** The key of a new volunteer, as the operator gets it. */
  async function keyOf(name: string): Promise<string> {
    const words = ['boinc', 'account', 'add', name, '--data-directory', dataDirectory]
    return (await run(molehill, words)).stdout.trim()
  }

  async function attach(name: string, programs?: string): Promise<BoincClient> {
    const key = await keyOf(name)
    const client = await BoincClient.start({
      cpus: 4,
      testUrl: url,
      ...(programs !== undefined && { programs }),
    })
    clients.push(client)
    await client.attach(url, key)
    return client
  }

  async function start(fields: Readonly<Record<string, string>>, archive: Blob): Promise<string> {
    const { status, json, text } = await user.post(life!, 'start', fields, archive)
    expect(status, text).toBe(200)
    return String(json['id'])
  }

  const state = async (id: string) => (await user.state(life!, id)).json

  /** `nudge` is called now and then. */
  async function end(
    id: string,
    nudge: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<Readonly<Record<string, unknown>>> {
    let last: unknown
    let looks = 0
    return until(
      `${id} has ended`,
      async () => {
        const now = await state(id)
        last = now
        looks += 1
        if (looks % 20 === 1) await nudge()
        await pause(500)
        return now['state'] === 'running' ? undefined : now
      },
      () => [last, life?.log().slice(-3000)],
      patienceMs,
    )
  }

  const result = (id: string, name: string) =>
    readFileSync(join(executionDirectory(dataDirectory, id), 'work', name), 'utf8')

  test(
    'a volunteer with the URL and a key takes part within a minute or so, and a killed server loses nothing',
    { timeout: patienceMs },
    async () => {
      const script = `
        import { boinc, commandTask, csv, explore, integer, range, readStdout, shell } from 'molehill'
        const n = integer('n'), square = integer('square')
        const say = commandTask('say', {
          command: shell\`sleep 4; echo $((\${n} * \${n}))\`, inputs: [n], outputs: [readStdout(square)],
        })
        const squares = say.on(boinc({ by: 1 })).hook(csv('squares.csv', { values: [n, square] }))
        export default explore(range(n, { from: 1, to: 6 }), squares)
      `
      const id = await start({ script: 'workflow.ts' }, packScript(script))
      expect((await state(id))['state']).toBe('running')
      const client = await attach('ann')
      await until(
        'the first jobs have come back',
        async () => {
          await pause(500)
          const { environments } = await state(id)
          const found = (environments as { name: string; done: number }[]).find(
            ({ name }) => name === 'boinc',
          )
          return (found?.done ?? 0) > 0 || undefined
        },
        async () => [await state(id), life?.log().slice(-2000)],
        patienceMs,
      )
      await life!.end('SIGKILL')
      await serve()
      // It would come by itself, minutes after an upload that met nobody.
      expect(await end(id, () => client.retry(url))).toMatchObject({
        state: 'finished',
        environments: expect.arrayContaining([
          expect.objectContaining({ name: 'boinc', done: 6, failed: 0, running: 0, submitted: 0 }),
        ]),
      })
      expect(result(id, 'squares.csv').trim().split('\n').sort()).toEqual(
        ['1,1', '2,4', '3,9', '4,16', '5,25', '6,36', 'n,square'].sort(),
      )
    },
  )

  test(
    'forest-fire comes out as on this computer where three hosts compute it, two must agree, and one lies',
    { timeout: 2 * patienceMs },
    async () => {
      const lies = join(directory, 'lies')
      await Promise.all([attach('bob'), makeLiar(lies).then((programs) => attach('mallory', programs))])
      const added = await user.post(life!, 'environments/add', {
        name: 'volunteers',
        kind: 'boinc',
        options: JSON.stringify({ quorum: 2, maxCopies: 10, maxErrors: 10, by: 8 }),
      })
      expect(added.status, added.text).toBeLessThan(300)
      const fields = {
        script: 'workflow.ts',
        inputs: JSON.stringify({
          size: 60,
          forestsPerDensity: 4,
          lowestDensity: 0.55,
          highestDensity: 0.65,
          densityStep: 0.1,
        }),
      }
      const archive = await packForestFire()
      const here = await start(fields, archive)
      const there = await start({ ...fields, environment: 'volunteers' }, archive)
      expect(await end(here)).toMatchObject({ state: 'finished' })
      expect(await end(there)).toMatchObject({
        state: 'finished',
        environments: expect.arrayContaining([
          expect.objectContaining({ name: 'volunteers', done: 8 + 2 + 1, failed: 0 }),
        ]),
      })
      const sorted = (id: string, name: string) => result(id, name).trim().split('\n').sort()
      for (const name of ['burned.csv', 'medians.csv'])
        expect(sorted(there, name)).toEqual(sorted(here, name))
      expect(result(there, 'burned.svg')).toBe(result(here, 'burned.svg'))
      expect(existsSync(lies), 'the liar has lied').toBe(true)
      const { text } = await user.post(life!, 'environments')
      for (const name of ['ann', 'bob', 'mallory']) expect(text).toContain(`of ${name}: x86_64-pc-linux-gnu`)
    },
  )

  /** A tar that changes what functions returned before it packs, and counts that in the file `lies`. */
  async function makeLiar(lies: string): Promise<string> {
    const programs = join(directory, 'liar')
    await mkdir(programs)
    const script = `#!/bin/sh
case " $* " in
  *' record '*)
    for outcomes in jobs/*/work/.molehill/outcomes; do
      sed -i 's/0\\.[0-9]*/0.5/g' "$outcomes" && echo lied >>${lies}
    done ;;
esac
exec /usr/bin/tar "$@"
`
    await writeFile(join(programs, 'tar'), script, { mode: 0o755 })
    return programs
  }

  async function packForestFire(): Promise<Blob> {
    const work = join(directory, 'forest-fire')
    await cp(join(import.meta.dirname, '../../workflows/forest-fire'), work, { recursive: true })
    const file = join(directory, 'forest-fire.tgz')
    await create({ gzip: true, cwd: work, file }, ['.'])
    return new Blob([new Uint8Array(await readFile(file))])
  }
})
