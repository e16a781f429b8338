import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { startCaesarServer, type CaesarServer } from '../helpers/caesar-server.ts'

const longMs = 120_000
const picture = Buffer.from('a picture')
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-settings-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function uploaded({ ann }: CaesarServer): Promise<string> {
  return String((await ann.upload(picture, 'sky.fits')).json['uuid'])
}

async function submitted(server: CaesarServer, inputs: Readonly<Record<string, unknown>>): Promise<string> {
  const body = { app: 'probe', data_inputs: await uploaded(server), job_inputs: inputs }
  const { status, json } = await server.ann.submit(body)
  expect([status, json]).toMatchObject([202, {}])
  return String(json['job_id'])
}

/** Asks the main API as the operator. */
async function ask(server: CaesarServer, path: string, fields: Readonly<Record<string, string>>) {
  return fetch(`${server.server.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await server.login()}` },
    body: new URLSearchParams(fields),
  })
}

describe('an operator decides', { timeout: longMs }, () => {
  test('whether clients are served, and where', async () => {
    await using server = await startCaesarServer({ caesarPath: '/elsewhere' })
    expect((await server.ann.call('/apps')).status).toBe(404)
    const moved = await fetch(`${server.server.url}/elsewhere/apps`, {
      headers: { authorization: `Bearer ${server.key}` },
    })
    expect(moved.status).toBe(200)
    const query = `?access_token=${server.key}`
    expect((await fetch(`${server.server.url}/elsewhere/apps${query}`)).status).toBe(401)
    await using off = await startCaesarServer({ caesar: false })
    expect((await off.ann.call('/apps')).status).toBe(404)
    expect((await off.ann.call('/job', { method: 'POST', body: '{}' })).status).toBe(404)
  })

  test('what may be uploaded, how apps are described, and whether options must be known', async () => {
    await using server = await startCaesarServer({
      caesarFileTypes: 'fits dat',
      caesarFileLimit: '2KiB',
      caesarDescribe: 'nested',
      caesarStrict: true,
      caesarQueryToken: true,
    })
    const { ann } = server
    const query = `?access_token=${server.key}`
    expect((await server.stranger.call(`/apps${query}`)).status).toBe(200)
    expect((await server.stranger.call(`/apps${query}x`)).status).toBe(401)
    expect((await server.stranger.call('/apps')).status).toBe(401)
    expect(server.server.logged.join('\n')).not.toContain(server.key)
    expect((await ann.upload(picture, 'a.DAT')).status).toBe(200)
    expect((await ann.upload(picture, 'a.png')).json['status']).toBe(
      'File format not allowed, allowed file types are: {fits|dat}',
    )
    const large = await ann.upload(Buffer.alloc(3000), 'a.fits')
    expect([large.status, large.json]).toMatchObject([413, { status: expect.any(String) as string }])
    expect(JSON.parse((await ann.call('/fileids')).text)).toHaveLength(1)
    expect(await readdir(join(server.dataDirectory, 'uploads/users/ann/caesar'))).toHaveLength(1)
    expect(await readdir(join(server.dataDirectory, 'uploads/incoming'))).toEqual([])
    const { json } = await ann.call('/app/probe/describe')
    expect(json).toMatchObject({
      name: 'probe',
      description: 'Does what it is told.',
      tool_categories: ['tests'],
      input_requirements: { expected_data: 'Picture', supported_formats: ['fits', 'png'] },
      job_options: { count: { type: 'int', min: 1 } },
      job_outputs: {
        'catalog-*.json': { role: 'sources', parser: 'json', glob: 'catalog-*.json', required: false },
        'result.json': { path: 'result.json', required: true },
      },
      limitations: [],
    })
    const uid = await uploaded(server)
    const body = { app: 'probe', data_inputs: uid, job_inputs: { run: true } }
    expect((await ann.submit(body)).json['status']).toBe('Option run not known by app probe!')
    // The ending that is declared counts, whatever may be uploaded.
    const table = String((await ann.upload(picture, 'a.dat')).json['uuid'])
    const refusal = await ann.submit({ ...body, data_inputs: table, job_inputs: { label: 'x' } })
    expect([refusal.status, refusal.json['status']]).toMatchObject([
      400,
      expect.stringContaining('image: expected a file that ends in .fits, .png') as string,
    ])
  })

  test('which files of the server clients may name', async () => {
    const [datasets, root, secret] = ['sets', 'root', 'secret'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ]
    for (const each of [datasets, root, secret]) await mkdir(each)
    for (const each of [join(datasets, 'first.fits'), join(root, 'own.fits'), join(secret, 'key.fits')])
      await writeFile(each, 'ten bytes!')
    await symlink(join(secret, 'key.fits'), join(root, 'link.fits'))
    await symlink(join(secret, 'key.fits'), join(datasets, 'link.fits'))
    await using server = await startCaesarServer({ caesarDatasets: datasets, caesarDataRoots: root })
    const { ann } = server
    expect((await ann.call('/datasets')).json).toHaveProperty('first.fits')
    const submit = async (data: string, format: string) =>
      ann.submit({ app: 'probe', data_inputs: { data, format }, job_options: {} })
    for (const [data, format] of [
      ['first.fits', 'dataset'],
      [join(root, 'own.fits'), 'abspath'],
    ] as const) {
      const { status, json } = await submit(data, format)
      expect([status, json]).toMatchObject([202, {}])
      expect(await ann.ended(String(json['job_id']))).toMatchObject({ state: 'SUCCESS' })
    }
    for (const [data, format] of [
      ['link.fits', 'dataset'],
      ['../secret/key.fits', 'dataset'],
      ['.', 'dataset'],
      [join(root, 'link.fits'), 'abspath'],
      [join(root, '../secret/key.fits'), 'abspath'],
      [join(secret, 'key.fits'), 'abspath'],
      [root, 'abspath'],
      ['/etc/passwd', 'abspath'],
    ] as const)
      expect([data, (await submit(data, format)).json['status']]).toEqual([
        data,
        'Cannot find file corresponding to given data input uid!',
      ])
  })

  test('where the jobs of an app run', async () => {
    await using server = await startCaesarServer({ catalogEnvironments: 'probe=cluster' })
    const id = await submitted(server, { ending: 'good' }).catch(() => undefined)
    expect(id, 'an environment that is not there').toBeUndefined()
    const options = JSON.stringify({ env: { WHERE: 'on the cluster' } })
    const added = await ask(server, '/environments/add', { name: 'cluster', kind: 'local', options })
    expect(added.status).toBe(200)
    const job = await submitted(server, { ending: 'where' })
    expect(await server.ann.ended(job)).toMatchObject({ state: 'SUCCESS' })
    expect((await server.ann.call(`/job/${job}/output`)).bytes.length).toBeGreaterThan(0)
    expect((await server.ann.call(`/job/${job}/preview`)).status).toBe(200)
    const preview = (await server.ann.call(`/job/${job}/preview`)).json['image']
    expect(Buffer.from(String(preview), 'base64').toString()).toContain('on the cluster')
  })
})

describe('what is on record', { timeout: longMs }, () => {
  test('stays when executions are removed, as it was or as cleared', async () => {
    await using server = await startCaesarServer({ caesarPeriod: '1h' })
    const seen = await submitted(server, { label: 'x' })
    const ended = await server.ann.ended(seen)
    const unseen = await submitted(server, { label: 'x' })
    const executions = async () => {
      const answer = await ask(server, '/list', {})
      return (await answer.json()) as { id: string; state: string }[]
    }
    const all = await until('all have ended', async () => {
      const list = await executions()
      return list.every(({ state }) => state !== 'running') ? list : undefined
    })
    for (const { id } of all) expect((await ask(server, '/remove', { id })).status).toBe(200)
    expect((await server.ann.call(`/job/${seen}/status`)).json).toEqual(ended)
    expect((await server.ann.call(`/job/${unseen}/status`)).json).toMatchObject({
      state: 'CLEARED',
      exit_code: -1,
      status: 'Job was presumably cleared and finished with unknown state',
    })
    for (const id of [seen, unseen])
      expect(await server.ann.call(`/job/${id}/output`)).toMatchObject({
        status: 404,
        json: { job_id: id, status: `Cannot find desired output for job ${id}!` },
      })
    expect((await server.ann.call('/accounting')).json).toMatchObject({
      njobs: 2,
      njobs_completed: 1,
      njobs_cleared: 1,
    })
  })

  test('is kept by the clock although nobody asks', async () => {
    await using server = await startCaesarServer({
      caesarPeriod: '200ms',
      maxFinished: 1,
      housekeepingInterval: '1h',
    })
    await submitted(server, { label: 'x' })
    const account = await until('the job is measured', async () => {
      const { json } = await server.ann.call('/accounting')
      return Number(json['jobsize']) > 0 ? json : undefined
    })
    expect(account).toMatchObject({ njobs: 1, njobs_completed: 1 })
    expect(Number(account['datasize'])).toBeCloseTo(picture.length / 1024, 5)
  })

  test('is mended after a crash in the middle of a submission or an upload', async () => {
    await using server = await startCaesarServer()
    const running = await submitted(server, { ending: 'slow' })
    const path = join(server.dataDirectory, 'dialects.db')
    const orphan = join(
      server.dataDirectory,
      'uploads/users/ann/caesar/0123456789abcdef0123456789abcdef.fits',
    )
    await server.restart(async () => {
      await writeFile(orphan, 'left over')
      using database = new DatabaseSync(path)
      // One whose execution was started, but not yet written down; and one that was not.
      database.prepare('UPDATE caesar_jobs SET execution = NULL').run()
      database.exec(`INSERT INTO caesar_jobs SELECT 'lost', owner, app, data_inputs, echo, ignored, tag, submitted_at,
        NULL, key, digest, state, status, exit_code, elapsed_s, bytes FROM caesar_jobs`)
    })
    expect((await server.ann.call('/job/lost/status')).status).toBe(404)
    const { json } = await server.ann.call(`/job/${running}/status`)
    expect(json['state']).toMatch(/PENDING|RUNNING/)
    expect((await server.ann.call(`/job/${running}/cancel`, { method: 'POST' })).json['status']).toContain(
      'canceled',
    )
    expect(await readdir(join(orphan, '..'))).toHaveLength(1)
  })

  test('goes with its user: another one of the same name sees nothing of it', async () => {
    await using server = await startCaesarServer()
    const id = await submitted(server, { label: 'x' })
    await server.ann.ended(id)
    await server.restart(() => server.replaceUser('ann'))
    expect((await server.ann.call('/jobs')).text).toBe('[]')
    expect((await server.ann.call('/fileids')).text).toBe('[]')
    expect((await server.ann.call('/accounting')).json).toMatchObject({ njobs: 0, datasize: 0 })
  })
})

test('a quota that is used up refuses uploads and jobs, and says so', { timeout: longMs }, async () => {
  await using server = await startCaesarServer({}, { quota: { storedBytes: 20_000 } })
  const { ann } = server
  const first = await ann.upload(Buffer.alloc(8000), 'a.fits')
  expect(first.status).toBe(200)
  const second = await ann.upload(Buffer.alloc(16_000), 'b.fits')
  expect([second.status, second.json]).toMatchObject([
    403,
    { status: expect.stringContaining('there is no room') as string },
  ])
  expect(JSON.parse((await ann.call('/fileids')).text)).toHaveLength(1)
  const more = await ann.upload(Buffer.alloc(11_000), 'c.fits')
  const refused = await ann.submit({
    app: 'probe',
    data_inputs: more.json['uuid'],
    job_inputs: { label: 'x' },
  })
  expect([refused.status, refused.json]).toMatchObject([
    403,
    {
      app: 'probe',
      job_id: '',
      state: 'ABORTED',
      status: expect.stringContaining('there is no room') as string,
    },
  ])
  expect((await ann.call('/jobs')).text).toBe('[]')
  expect((await server.bob.upload(Buffer.alloc(16_000), 'b.fits')).status).toBe(200)
  await ann.call(`/delete/${String(first.json['uuid'])}`, { method: 'POST' })
  expect((await ann.upload(Buffer.alloc(2000), 'd.fits')).status).toBe(200)
})

test('uploads at the same time get no more room than one after the other', { timeout: longMs }, async () => {
  await using server = await startCaesarServer({}, { quota: { storedBytes: 20_000 } })
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => server.ann.upload(Buffer.alloc(8000), 'a.fits')),
  )
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(2)
  expect(answers.filter(({ status }) => status === 403)).toHaveLength(8)
  expect(JSON.parse((await server.ann.call('/fileids')).text)).toHaveLength(2)
})

test('thirty submissions at once are all taken', { timeout: longMs }, async () => {
  await using server = await startCaesarServer()
  const uid = await uploaded(server)
  const body = { app: 'probe', data_inputs: uid, job_inputs: { loud: false }, tag: 'stresstest' }
  const answers = await Promise.all(Array.from({ length: 30 }, () => server.ann.submit(body)))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202))
  const ends = await Promise.all(answers.map(({ json }) => server.ann.ended(String(json['job_id']))))
  for (const end of ends) expect(end).toMatchObject({ state: 'SUCCESS', exit_code: 0 })
  expect((await server.ann.call('/accounting')).json).toMatchObject({ njobs: 30, njobs_completed: 30 })
})
