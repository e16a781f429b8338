import { spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { unpackArchive } from '../files/unpack.ts'
import { defaultArchiveLimits } from '../files/archive-limits.ts'
import { evaluateScript } from '../script/evaluate.ts'
import { awaitEnd } from './box-end.ts'
import { noIsolation, type Isolation } from './isolation.ts'

let directory: string
let isolation: Isolation

// Stands for a bwrap that dies while it makes a box: what it has started is in a session of its own by then.
beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), 'molehill-box-end-')))
  const bubblewrap = join(directory, 'bwrap')
  const started = `cd ${directory}; setsid sh -c 'echo $$ > pids; exec sleep 600' & until [ -s pids ]; do :; done`
  await writeFile(bubblewrap, `#!/bin/sh\n${started}\nexit 1\n`)
  await chmod(bubblewrap, 0o755)
  isolation = { ...noIsolation, wish: 'required', bubblewrap }
})

afterEach(async () => {
  const pids = await readFile(join(directory, 'pids'), 'utf8')
  for (const pid of pids.trim().split('\n')) process.kill(Number(pid), 'SIGKILL')
  await rm(directory, { recursive: true, force: true })
})

describe('the pipes of a box that died while it was made', () => {
  it('are let go of', async () => {
    const child = spawn(isolation.bubblewrap ?? '', { stdio: 'pipe' })
    await awaitEnd(child, 100)
    expect(child.exitCode).toBe(1)
  })

  it('do not keep a script from being refused', async () => {
    const work = join(directory, 'work')
    await mkdir(work)
    await writeFile(join(work, 'flow.ts'), 'export default 1')
    const reading = evaluateScript({
      workDirectory: work,
      script: 'flow.ts',
      limits: { timeMs: 60_000, memoryBytes: 2 ** 28, outputBytes: 2 ** 20 },
      signal: AbortSignal.timeout(60_000),
      isolation,
    })
    await expect(reading).rejects.toMatchObject({ code: 'script-invalid' })
  }, 20_000)

  it('do not keep an archive from being refused', async () => {
    const endless = Readable.from(['some bytes'], { objectMode: false })
    const unpacking = unpackArchive(
      endless,
      join(directory, 'target'),
      { ...defaultArchiveLimits, timeMs: 2000 },
      undefined,
      isolation,
    )
    await expect(unpacking).rejects.toMatchObject({ code: 'archive-invalid' })
  }, 20_000)
})
