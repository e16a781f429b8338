import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Problem } from '../problem.ts'
import { noIsolation } from './isolation.ts'
import { probeIsolation } from './probe.ts'

async function fakeBubblewrap(text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-probe-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  await writeFile(join(directory, 'bwrap'), `#!/bin/sh\n${text}\n`)
  await chmod(join(directory, 'bwrap'), 0o755)
  return directory
}

describe('the probe of isolation', () => {
  it('finds a box that works', async () => {
    const isolation = await probeIsolation('required', process.env)
    expect(isolation).toMatchObject({ wish: 'required', isWeaker: false })
    expect(isolation.report).toMatch(/^What users send runs in boxes made by \/\S+bwrap; .*\.$/)
  })

  it('looks for nothing when isolation is switched off', async () => {
    expect(await probeIsolation('none', {})).toBe(noIsolation)
  })

  it('keeps the server from starting where a box is required and there is no bwrap', async () => {
    const error: unknown = await probeIsolation('required', { PATH: '/nowhere' }).catch((caught) => caught)
    expect(error).toBeInstanceOf(Problem)
    expect(error).toMatchObject({
      code: 'configuration-invalid',
      message: 'Isolation is required, but bwrap is not installed.',
    })
    expect((error as Problem).hint).toContain('apt install bubblewrap')
  })

  it('tells in one sentence why a best effort is less', async () => {
    const PATH = await fakeBubblewrap('echo "bwrap: No permissions to create new namespace" >&2; exit 1')
    const isolation = await probeIsolation('best-effort', { PATH })
    expect(isolation.isWeaker).toBe(true)
    expect(isolation.bubblewrap).toBeUndefined()
    expect(isolation.report).toContain(
      'cannot make a box here (bwrap: No permissions to create new namespace)',
    )
  })

  it('does not take a box for one that shows processes outside of it', async () => {
    const PATH = await fakeBubblewrap('while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    const isolation = await probeIsolation('best-effort', { PATH })
    expect(isolation.bubblewrap).toBeUndefined()
    expect(isolation.isWeaker).toBe(true)
  })
})
