import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toJobId, type JobRequest, type Resources } from '../../src/environment/environment.ts'
import type { JobBoxes } from '../../src/environment/plugin.ts'
import { jobText } from './job-text.ts'

const run = promisify(execFile)

let directory: string

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), 'molehill-job-text-')))
  await mkdir(join(directory, 'work'))
})

afterAll(() => rm(directory, { recursive: true, force: true }))

function request(command: readonly string[], resources: Resources = {}): JobRequest {
  const inputs = [
    { from: `${directory}/work/in`, to: 'in' },
    { from: '/elsewhere/in', to: 'in2' },
  ]
  return {
    id: toJobId('a'),
    command,
    env: { A: 'b c' },
    workDirectory: `${directory}/work`,
    inputs,
    outputs: [],
    resources,
  }
}

async function bash(text: string): Promise<string> {
  const { stdout } = await run('bash', ['-c', text])
  return stdout
}

describe('the text of a job', () => {
  it('is the command alone when nothing else is asked for', () => {
    expect(jobText(request(['echo', 'x y']), directory, { B: 'd' }, undefined)).toBe(
      "B=d A=$'b c' exec -- echo $'x y'",
    )
  })

  it('limits the memory of each process', async () => {
    const text = jobText(
      request(['bash', '-c', 'ulimit -d'], { memoryBytes: 100 * 2 ** 20 }),
      directory,
      {},
      undefined,
    )
    expect(text).not.toContain('\n')
    expect(await bash(text)).toBe(`${100 * 1024}\n`)
  })

  it('puts the command into a box that sees its own places, and that a request to end does not end at once', async () => {
    const seen: unknown[] = []
    const boxes: JobBoxes = {
      isPerJob: true,
      placeOf: (path) => path,
      command: (command, places) => {
        seen.push(places)
        return command
      },
    }
    const text = jobText(request(['bash', '-c', 'echo "$A"; trap -p TERM']), directory, {}, boxes)
    expect(await bash(text)).toMatch(/^b c\n(?!trap)/)
    // Variables such as LD_PRELOAD are orders to what makes the box: they are set inside of it only.
    expect(text).toMatch(
      /^\{ trap '' TERM; exec -- \/usr\/bin\/env --default-signal=TERM -- \$'A=b c' bash .*; \}$/,
    )
    expect(seen).toEqual([
      {
        directory: `${directory}/work`,
        readOnly: ['/elsewhere/in'],
        readWrite: [`${directory}/work`, `${directory}/work`],
      },
    ])
  })
})
