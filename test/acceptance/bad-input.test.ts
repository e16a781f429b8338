import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { archiveFlags, archiveRows } from './bad-input/archives.ts'
import { formRows } from './bad-input/forms.ts'
import { parameterRows } from './bad-input/parameters.ts'
import { pathRows, planted, plantingScript } from './bad-input/paths.ts'
import { goodArchiveRows, plantTree } from './bad-input/good-archives.ts'
import type { Refused } from './bad-input/row.ts'
import { openStage, packForm, readProblem, type Received, type Stage } from './bad-input/stage.ts'
import { scriptRows } from './bad-input/scripts.ts'
import { signToken, tokenRows, type TokenKit } from './bad-input/tokens.ts'
import { createRestClient } from '../helpers/rest-client.ts'
import { password, startTestServer } from '../helpers/running-server.ts'
import { wireRows } from './bad-input/wire.ts'
import { tarGzip } from '../helpers/tar.ts'

const tables = {
  archives: archiveRows,
  'good archives': goodArchiveRows,
  scripts: scriptRows,
  tokens: tokenRows,
  parameters: parameterRows,
  paths: pathRows,
  bodies: formRows,
  connections: wireRows,
}

let stage: Stage
/** An execution whose job made links out of its work directory, a named pipe and more. */
let planter: string
/** All that there was before the rows of a table were sent. */
let before: string[]

beforeAll(async () => {
  stage = await openStage({ ...archiveFlags, scriptTime: '4s', maxConnections: '50' })
  const script = fillIn(plantingScript)
  planter = await stage.client.start(stage.token, 'Pi.ts', tarGzip([{ name: 'Pi.ts', content: script }]))
  expect(await stage.client.awaitEnd(stage.token, planter)).toMatchObject({ state: 'finished' })
}, 60_000)

afterAll(async () => {
  await stage[Symbol.asyncDispose]()
  const counts = Object.entries(tables).map(([kind, rows]) => `${kind} ${rows.length}`)
  const total = Object.values(tables).reduce((sum, rows) => sum + rows.length, 0)
  console.log(`${total} rows: ${counts.join(', ')}`)
})

describe('an archive that is refused:', () => {
  rememberEverything()
  test.concurrent.each(archiveRows)('$name', async ({ archive, ...row }) => {
    await expectRefusal(
      await stage.send({
        target: `/start?${query({ token: stage.token, script: 'Pi.ts' })}`,
        ...packForm(archive(stage.outside)),
      }),
      row,
    )
  })
  expectEverythingAsBefore()
})

describe('an archive that looks odd comes through whole:', () => {
  let directory: string

  rememberEverything()
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'molehill-good-'))
    await plantTree(directory)
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  // One after the other: `git archive` needs the tree for itself.
  test.each(goodArchiveRows)('$name', async ({ archive, files }) => {
    const { client, token } = stage
    const id = await client.start(token, 'Pi.ts', await archive(directory))
    for (const [path, content] of Object.entries(files)) {
      const target = `/download?${query({ token, id, path })}`
      const { status, body } = await stage.send({ target })
      expect([path, status, body.toString()]).toEqual([path, 200, content])
    }
    await client.remove(token, id)
  })
  expectEverythingAsBefore()
})

describe('a script that is refused:', () => {
  rememberEverything()
  test.concurrent.each(scriptRows)('$name', async ({ script, content, ...row }) => {
    const archive = tarGzip([
      { name: 'Pi.ts', content: typeof content === 'string' ? fillIn(content) : content },
      { name: 'data/numbers.txt', content: '1 2 3' },
    ])
    const target = `/validate?${query({ token: stage.token, script })}`
    await expectRefusal(await stage.send({ target, ...packForm(archive) }), row)
  })
  expectEverythingAsBefore()
})

describe('a token that is refused:', () => {
  const refusal = { status: 401, sentence: /^This service requires a valid token Ask for a new token/ }
  let kit: TokenKit

  rememberEverything()
  beforeAll(async () => {
    const { tokenKey } = JSON.parse(
      await readFile(join(stage.server.dataDirectory, 'preferences.json'), 'utf8'),
    )
    const key = Buffer.from(tokenKey, 'base64url')
    kit = { key, token: stage.token, nowSeconds: Math.floor(Date.now() / 1000) }
  })

  test('but one that is made as it should be passes', async () => {
    expect(await stage.client.post('/list', { token: signToken(kit) })).toMatchObject({ status: 200 })
  })
  test.concurrent.each(tokenRows)('$name', async ({ name, token }) => {
    const target = `/list?${query({ token: token(kit) })}`
    await expectRefusal(await stage.send({ target }), { name, ...refusal })
  })
  test('one of another data directory', async () => {
    await using other = await startTestServer()
    const client = await createRestClient(other)
    const target = `/list?${query({ token: await client.requestToken(password) })}`
    await expectRefusal(await stage.send({ target }), { name: 'of another', ...refusal })
  })
  expectEverythingAsBefore()
})

test('a password that is wrong too often is refused unread: 429', async () => {
  await using other = await startTestServer()
  const client = await createRestClient(other)
  for (let time = 1; time <= 5; time += 1)
    expect(await client.post('/token', { password: 'guess' })).toMatchObject({ status: 403 })
  for (const guess of ['guess', password]) {
    const { status, headers, json } = await client.post('/token', { password: guess })
    expect({ status, code: json.code }).toEqual({ status: 429, code: 'password-throttled' })
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
  }
}, 60_000)

describe('a parameter that is refused:', () => {
  rememberEverything()
  test.concurrent.each(parameterRows)('$name', async ({ target, method = 'POST', headers = {}, ...row }) => {
    const filled = target.replaceAll('TOKEN', stage.token).replaceAll('ID', planter)
    await expectRefusal(await stage.send({ method, target: filled, headers }), row)
  })
  expectEverythingAsBefore()
})

describe('a path that is refused:', () => {
  const refusal = { status: 404, sentence: /^File not found/ }

  rememberEverything()
  test.concurrent.each(pathRows)('$name', async ({ name, path }) => {
    for (const route of ['/download', '/files']) {
      const target = `${route}?${query({ token: stage.token, id: planter })}&path=${path}`
      await expectRefusal(await stage.send({ target }), { name, ...refusal })
    }
  })
  test('what leads out is left out of the whole directory, or told as a link', async () => {
    const target = `/download?${query({ token: stage.token, id: planter })}`
    const { status, body } = await stage.send({ target })
    expect(status).toBe(200)
    const names = (await run('tar', ['-tzf', '-'], body)).trim().split('\n')
    expect(names.sort()).toEqual(['Pi.ts', 'here', 'loop/', 'loop/back'])
    const listed = await stage.send({ target: target.replace('/download', '/files') })
    const types = new Map<string, string>(
      JSON.parse(listed.body.toString()).map(({ name, type }: Record<string, string>) => [name, type]),
    )
    for (const name of planted.outward) expect([name, types.get(name)]).toEqual([name, 'link'])
    expect(types.get('pipe')).toBe('other')
    expect(listed.body.toString()).not.toContain(stage.outside)
  })
  expectEverythingAsBefore()
})

describe('a body that is refused:', () => {
  rememberEverything()
  test.concurrent.each(formRows)('$name', async ({ headers, body, isAnonymous, ...row }) => {
    const authorization = isAnonymous === true ? undefined : { authorization: `Bearer ${stage.token}` }
    await expectRefusal(
      await stage.send({ target: '/start', headers: { ...headers, ...authorization }, body }),
      row,
    )
    expect('polluted' in {}).toBe(false)
  })
  expectEverythingAsBefore()
})

describe('a connection with', () => {
  rememberEverything()
  test.concurrent.each(wireRows)('$name', async ({ pieces, answer }) => {
    const received = await stage.sendRaw(pieces(stage.token))
    expect(received).toMatch(answer)
    expect(received).not.toMatch(/node_modules|node:internal|\n {4}at /)
    expect('polluted' in {}).toBe(false)
    await expectStillServed()
  })
  expectEverythingAsBefore()
})

describe('what was logged of all this', () => {
  test('is one line of JSON for each event, without control characters', () => {
    expect(stage.server.logged.length).toBeGreaterThan(0)
    for (const line of stage.server.logged) expectOneLine(line)
    expect(stage.server.logged.join('')).not.toContain(stage.token)
  })

  test('is one line of JSON in the audit log too', async () => {
    const lines = (await readFile(join(stage.server.dataDirectory, 'audit.log'), 'utf8')).split(/(?<=\n)/)
    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines) expectOneLine(line)
    expect(lines.join('')).not.toContain(stage.token)
  })

  test('has the line breaks and escapes that were sent, escaped', async () => {
    const id = 'a\r\n{"level":"fatal","msg":"forged"}\u001b[31m'
    await stage.send({ target: `/state?${query({ token: stage.token, id })}` })
    const isThere = () => stage.server.logged.some((line) => line.includes('\\r\\n{\\"level\\"'))
    await expect.poll(isThere, { message: 'the request was not logged' }).toBe(true)
    for (const line of stage.server.logged) {
      expectOneLine(line)
      expect(JSON.parse(line)).not.toMatchObject({ msg: 'forged' })
    }
  })

  function expectOneLine(line: string): void {
    // oxlint-disable-next-line no-control-regex -- finding control characters is what it is for
    expect(line).toMatch(/^[^\u0000-\u001f]+\n$/)
    expect(() => JSON.parse(line)).not.toThrow()
  }
})

function fillIn(script: string): string {
  return script.replaceAll('OUTSIDE', stage.outside)
}

function query(parameters: Readonly<Record<string, string>>): string {
  return new URLSearchParams(parameters).toString()
}

function rememberEverything(): void {
  beforeAll(async () => {
    before = await stage.listEverything()
  })
}

/** The rows run side by side, so this is for all of them together. */
function expectEverythingAsBefore(): void {
  test('none of them left or touched anything', async () => {
    expect(await stage.listEverything()).toEqual(before)
  })
}

async function expectRefusal(answer: Received, { status, sentence }: Refused): Promise<void> {
  const problem = readProblem(stage, answer)
  expect(`${problem.message} ${problem.hint ?? ''}`).toMatch(sentence)
  expect([answer.status, problem.status]).toEqual([status, status])
  await expectStillServed()
}

async function expectStillServed(): Promise<void> {
  const { status } = await stage.client.post('/list', { token: stage.token })
  expect(status).toBe(200)
}

/** What a program says on its standard output when it is given this. */
async function run(program: string, words: readonly string[], input: Buffer): Promise<string> {
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(input)
  return await text(child.stdout)
}
