import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { JobId, JobRequest } from '../environment/environment.ts'
import { groupRequests, splitGroup } from './group.ts'

it('runs the members of a group one after the other, each with a view of the files and an exit code', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-group-'))
  const member = (command: string, env: Record<string, string> = {}): JobRequest => ({
    id: 'm1' as JobId,
    command: ['/bin/sh', '-c', command],
    env,
    workDirectory: directory,
    inputs: [],
    outputs: [{ path: 'out/result' }],
    resources: { wallTimeMs: 1000 },
  })
  const members = [
    member('mkdir -p out && cat data/x "$NAME" > out/result', { NAME: "it's.txt" }),
    member('echo bad >&2; exit 3'),
    member('test ! -e out/result && echo printed'),
  ]
  try {
    await mkdir(join(directory, 'data'))
    await writeFile(join(directory, 'data', 'x'), 'x')
    await writeFile(join(directory, "it's.txt"), 'y')
    const request = groupRequests('g1' as JobId, members)
    expect(request.resources).toEqual({ wallTimeMs: 3000 })
    const [program = '', ...words] = request.command
    execFileSync(program, words, { cwd: directory, env: { ...process.env, ...request.env } })
    const [first, second, third] = await splitGroup(members, directory)
    expect(first).toMatchObject({ exitCode: 0, collected: { files: ['out/result'], missing: [] } })
    expect(await readFile(join(first?.directory ?? '', 'out/result'), 'utf8')).toBe('xy')
    expect(second).toMatchObject({ exitCode: 3, collected: { missing: ['out/result'] } })
    expect(await readFile(second?.collected.stderr ?? '', 'utf8')).toBe('bad\n')
    expect(third?.exitCode).toBe(0)
    expect(await readFile(third?.collected.stdout ?? '', 'utf8')).toBe('printed\n')
  } finally {
    await rm(directory, { recursive: true })
  }
})

it('runs more members than the arguments of one program hold, and shows nobody what is meant for them', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-group-'))
  const script = 'import sys; print(sys.argv)'.repeat(40)
  const members = Array.from({ length: 150 }, (_, index): JobRequest => ({
    id: 'm1' as JobId,
    command: ['printf', '%s', `${index} ✓`, script],
    env: { SECRET: 'hunter2', UID: '7', 'with-hyphen': "it's" },
    workDirectory: directory,
    inputs: [],
    outputs: [],
    resources: {},
  }))
  const last: JobRequest = {
    ...members[0]!,
    command: ['env'],
  }
  try {
    const request = groupRequests('g1' as JobId, [...members, last])
    expect(request.command.join(' ')).not.toContain('hunter2')
    const [program = '', ...words] = request.command
    execFileSync(program, words, { cwd: directory, env: { ...process.env, ...request.env } })
    expect(await readFile(join(directory, '.member-149.out'), 'utf8')).toBe(`149 ✓${script}`)
    const variables = (await readFile(join(directory, '.member-150.out'), 'utf8')).split('\n')
    expect(variables).toEqual(expect.arrayContaining(['SECRET=hunter2', 'UID=7', "with-hyphen=it's"]))
    expect(variables.filter((line) => line.startsWith('MOLEHILL_GROUP'))).toEqual([])
  } finally {
    await rm(directory, { recursive: true })
  }
}, 60_000)

it('knows which members had not ended when the group did', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-group-'))
  try {
    const request = { outputs: [] } as unknown as JobRequest
    await writeFile(join(directory, '.member-0.exit'), '0\n')
    const results = await splitGroup([request, request], directory)
    expect(results.map(({ exitCode }) => exitCode)).toEqual([0, undefined])
  } finally {
    await rm(directory, { recursive: true })
  }
})
