import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fitsOfMadeSources, madeSources, whyNoSourceFinder } from '../helpers/fits.ts'
import { startCaesarServer, type CaesarServer } from '../helpers/caesar-server.ts'

const longMs = 120_000
let server: CaesarServer

beforeAll(async () => {
  server = await startCaesarServer()
}, longMs)
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const picture = Buffer.from('a picture')

async function uploaded(name = 'sky.fits', content: Uint8Array = picture): Promise<string> {
  const { status, json } = await server.ann.upload(content, name)
  expect([status, json]).toMatchObject([200, { status: 'File uploaded with success' }])
  return String(json['uuid'])
}

/** Submits as the clients of the second generation do, and answers with the id of the job. */
async function submitted(inputs: Readonly<Record<string, unknown>> = { label: 'x' }): Promise<string> {
  const uid = await uploaded()
  const { status, json } = await server.ann.submit({ app: 'probe', data_inputs: uid, job_inputs: inputs })
  expect([status, json]).toMatchObject([202, { state: 'PENDING' }])
  return String(json['job_id'])
}

function listArchive(archive: Buffer): string[] {
  return execFileSync('tar', ['-tzf', '-'], { input: archive, encoding: 'utf8' }).trim().split('\n').sort()
}

function readArchive(archive: Buffer, name: string): string {
  return execFileSync('tar', ['-xzOf', '-', name], { input: archive, encoding: 'utf8' })
}

describe('uploads', { timeout: longMs }, () => {
  test('are told, listed, downloaded, redirected to and deleted', async () => {
    const { json } = await server.ann.upload(picture, 'my img (1).FITS', 'mine')
    expect(json).toEqual({
      date: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/) as string,
      filename_orig: 'my_img_1_.FITS',
      format: 'FITS',
      size: picture.length / 1_048_576,
      status: 'File uploaded with success',
      tag: 'mine',
      uuid: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    })
    const uid = String(json['uuid'])
    const { text } = await server.ann.call('/fileids')
    expect((JSON.parse(text) as Record<string, unknown>[]).find(({ fileid }) => fileid === uid)).toEqual({
      filedate: json['date'],
      fileext: 'FITS',
      fileid: uid,
      filename_orig: 'my_img_1_.FITS',
      filesize: json['size'],
      metadata: '',
      tag: 'mine',
    })
    const got = await server.ann.call(`/download/${uid}`)
    expect([got.status, got.text]).toEqual([200, 'a picture'])
    expect(got.headers.get('content-type')).toBe('image/fits')
    expect(got.headers.get('content-disposition')).toContain(`filename="${uid}.FITS"`)
    const plain = { 'accept-encoding': 'identity' }
    const part = await server.ann.call(`/download/${uid}`, { headers: { ...plain, range: 'bytes=2-4' } })
    expect([part.status, part.text]).toEqual([206, 'pic'])
    const whole = await server.ann.call(`/download/${uid}`, { headers: plain })
    const tag = whole.headers.get('etag') ?? ''
    const again = await server.ann.call(`/download/${uid}`, { headers: { ...plain, 'if-none-match': tag } })
    expect([again.status, again.bytes.length]).toEqual([304, 0])
    const away = await server.ann.call(`/download?uuid=${uid}`, { redirect: 'manual' })
    expect([away.status, away.headers.get('location')]).toEqual([302, `/caesar/api/v1.0/download/${uid}`])
    const posted = await server.ann.call('/download', {
      method: 'POST',
      body: new URLSearchParams({ uuid: uid }),
    })
    expect(posted.text).toBe('a picture')
    expect((await server.ann.call(`/delete/${uid}`, { method: 'POST' })).json).toEqual({
      status: 'File deleted and removed from DB',
    })
    for (const path of [`/delete/${uid}`, `/download/${uid}`])
      expect(await server.ann.call(path)).toMatchObject({
        status: 404,
        json: { status: `File with uuid ${uid} not found on the system!` },
      })
  })

  test.each(['a.exe', 'fits', '.fits', 'a.fits.sh', '../../x'])('%s is no picture', async (name) => {
    const { status, json } = await server.ann.upload(picture, name)
    expect([status, json]).toEqual([
      415,
      {
        date: '',
        filename_orig: '',
        format: '',
        size: '',
        status: 'File format not allowed, allowed file types are: {png|jpg|jpeg|gif|fits}',
        tag: '',
        uuid: '',
      },
    ])
  })

  test('that are refused before they are looked at have the members of any refusal', async () => {
    const blank = { date: '', filename_orig: '', format: '', size: '', tag: '', uuid: '' }
    const twice = new FormData()
    for (const name of ['a.fits', 'b.fits']) twice.append('file', new Blob(['x']), name)
    const multipart = { 'content-type': 'multipart/form-data; boundary=x' }
    const cases = [
      [400, { body: '--x\r\nbroken', headers: multipart }],
      [400, { body: '{}', headers: { 'content-type': 'application/json' } }],
      [400, { body: twice }],
      [413, { body: new URLSearchParams({ tag: 'x'.repeat(3_000_000) }) }],
    ] as const
    for (const [expected, options] of cases) {
      const { status, json } = await server.ann.call('/upload', { method: 'POST', ...options })
      expect([status, json]).toEqual([expected, { ...blank, status: expect.any(String) as string }])
    }
    const stranger = await server.stranger.upload(picture, 'a.fits')
    expect([stranger.status, stranger.json]).toMatchObject([401, { error: 'invalid_token' }])
  })

  test('a path as a name stays a name', async () => {
    const { json } = await server.ann.upload(picture, '../../../etc/passwd.fits')
    expect(json['filename_orig']).toBe('passwd.fits')
  })

  test('without a file, and a download without an id, are refused in the same way', async () => {
    const form = new FormData()
    form.set('tag', 'x')
    const answer = await server.ann.call('/upload', { method: 'POST', body: form })
    expect([answer.status, answer.json['status']]).toEqual([400, 'Missing file field in request!'])
    expect(await server.ann.call('/download')).toMatchObject({ status: 400 })
  })
})

describe('apps', { timeout: longMs }, () => {
  test('are those of the catalog, described flat', async () => {
    expect((await server.ann.call('/apps')).json['apps']).toEqual(
      expect.arrayContaining(['probe', 'source-finder', 'word-count']),
    )
    const { json } = await server.ann.call('/app/probe/describe')
    expect(Object.keys(json)).toEqual(['mask', 'ending', 'label', 'count', 'level', 'loud'])
    expect(json).toMatchObject({
      ending: {
        type: 'str',
        enum: true,
        default: 'good',
        allowed_values: ['good', 'bad', 'slow', 'where'],
        category: 'RUN',
        subcategory: 'END',
        mandatory: false,
        advanced: 0,
      },
      label: { type: 'str', default: 'plain', min: '', max: '', enum: false, advanced: 1 },
      count: { type: 'int', default: 2, min: 1, max: 10 },
      level: { type: 'float', default: 0.5, min: 0, max: 1 },
      loud: { type: 'none', enum: false },
    })
    expect(await server.ann.call('/app/none/describe')).toMatchObject({
      status: 400,
      json: { status: 'Unknown app none!' },
    })
  })
})

describe('jobs', { timeout: longMs }, () => {
  test('of all three generations of clients do the same', async () => {
    const uid = await uploaded()
    const options = { count: '7', level: 1, loud: 'true', label: "$(id) '; rm -rf ~" }
    const bodies = [
      { app: 'probe', job_inputs: { ...options, inputfile: `/opt/caesar-rest/data/${uid}.fits`, run: true } },
      { app: 'probe', job_inputs: { ...options, image: uid, envfile: '/etc/profile' }, tag: 'g0' },
      { app: 'probe', data_inputs: uid, job_inputs: options, tag: 'g1' },
      { app: 'probe', data_inputs: { data: uid, format: 'uid' }, job_options: options },
      { app: 'probe', data_inputs: { data: [uid], format: ['uid'] }, job_options: { ...options, none: 1 } },
    ]
    const answers = await Promise.all(bodies.map((body) => server.ann.submit(body)))
    expect(answers.map(({ json }) => json)).toMatchObject([
      { ignored_options: ['run'], job_inputs: { ...options, inputfile: `${uid}.fits`, run: true }, tag: '' },
      { ignored_options: ['envfile'], tag: 'g0' },
      { ignored_options: [], data_inputs: uid, job_inputs: options, tag: 'g1' },
      { data_inputs: { data: uid, format: 'uid' }, job_options: options },
      { ignored_options: ['none'] },
    ])
    for (const { status, json } of answers) {
      expect([status, json]).toMatchObject([
        202,
        { app: 'probe', state: 'PENDING', status: 'Job submitted and registered with success' },
      ])
      const id = String(json['job_id'])
      expect(await server.ann.ended(id)).toMatchObject({
        state: 'SUCCESS',
        status: 'Process terminated with success',
        exit_code: 0,
        exit_status: 0,
        job_id: id,
        pid: '',
        elapsed_time: expect.any(Number) as number,
      })
      const output = await server.ann.call(`/job/${id}/output`)
      expect(output.headers.get('content-type')).toBe('application/x-tar')
      expect(output.headers.get('content-disposition')).toBe(`attachment; filename=job_${id}.tar.gz`)
      const names = listArchive(output.bytes)
      expect(names.filter((name) => !name.startsWith(`job_${id}/`))).toEqual([])
      expect(JSON.parse(readArchive(output.bytes, `job_${id}/result.json`))).toMatchObject({
        size: picture.length,
        count: 7,
        level: 1,
        loud: 'true',
      })
      expect(readArchive(output.bytes, `job_${id}/label.txt`)).toBe(options.label)
      expect(readArchive(output.bytes, `job_${id}/output.log`)).toContain('err of the job')
      const { text } = await server.ann.call(`/job/${id}/sources`)
      expect(JSON.parse(text)).toEqual([{ name: 'A' }])
    }
  })

  test('that fail keep what they wrote, and say how they ended', async () => {
    const id = await submitted({ ending: 'bad' })
    expect(await server.ann.ended(id)).toMatchObject({
      state: 'FAILURE',
      exit_code: 7,
      status: 'Process terminated with return code 7',
    })
    const { status, bytes } = await server.ann.call(`/job/${id}/output`)
    expect(status).toBe(200)
    expect(readArchive(bytes, `job_${id}/error.log`)).toContain('exit code 7')
    expect(readArchive(bytes, `job_${id}/output.log`)).toContain('out of the job')
    expect(String(bytes)).not.toContain(server.dataDirectory)
    expect(await server.ann.call(`/job/${id}/sources`)).toMatchObject({
      status: 404,
      json: { job_id: id, status: `Cannot find desired output for job ${id}!` },
    })
  })

  test('are canceled once, and stay so', async () => {
    const id = await submitted({ ending: 'slow' })
    const { status, json } = await server.ann.call(`/job/${id}/output`)
    expect([status, json]).toMatchObject([202, { job_id: id }])
    expect(json['status']).toMatch(/not yet completed \(state=(PENDING|RUNNING)\), output not available$/)
    const answer = await server.ann.call(`/job/${id}/cancel`, { method: 'POST' })
    expect([answer.status, answer.json]).toEqual([200, { status: 'Job canceled and status updated in DB' }])
    const ended = { state: 'CANCELED', status: 'Job canceled by user', exit_code: -1 }
    expect(await server.ann.ended(id)).toMatchObject(ended)
    const again = await server.ann.call(`/job/${id}/cancel`)
    expect(again.json).toEqual({
      status: `Job ${id} already completed with state CANCELED, nothing to be canceled.`,
    })
    expect(again.headers.get('cache-control')).toBe('no-store')
    expect(await server.ann.ended(id)).toMatchObject(ended)
    expect((await server.ann.call(`/job/${id}/output`)).status).toBe(200)
  })

  test('a key makes the same submission one job', async () => {
    const uid = await uploaded()
    const body = { app: 'probe', data_inputs: uid, job_inputs: { label: 'once' } }
    const key = { 'idempotency-key': `key-${uid}` }
    const answers = await Promise.all([1, 2, 3].map(() => server.ann.submit(body, key)))
    expect(new Set(answers.map(({ json }) => json['job_id'])).size).toBe(1)
    expect(await server.ann.submit({ ...body, tag: 'other' }, key)).toMatchObject({ status: 422 })
    await server.ann.ended(String(answers[0]?.json['job_id']))
  })

  test('go on after a restart, and those that ended are as they were', async () => {
    const done = await submitted({ label: 'done' })
    const before = await server.ann.ended(done)
    const slow = await submitted({ ending: 'slow' })
    await server.restart()
    expect(await server.ann.ended(done)).toEqual(before)
    expect((await server.ann.call(`/job/${slow}/status`)).json['state']).toMatch(/^(PENDING|RUNNING)$/)
    const { text } = await server.ann.call('/jobs')
    const ids = (JSON.parse(text) as { job_id: string }[]).map((job) => job.job_id)
    expect(ids).toEqual(expect.arrayContaining([done, slow]))
    await server.ann.call(`/job/${slow}/cancel`, { method: 'POST' })
    expect(await server.ann.ended(slow)).toMatchObject({ state: 'CANCELED' })
  })
})

describe('two users', { timeout: longMs }, () => {
  test('see nothing of each other', async () => {
    const uid = await uploaded()
    const id = await submitted()
    await server.ann.ended(id)
    const unknownJob = { status: `Job ${id} not found for user bob!`, job_id: id }
    const paths = ['status', 'output', 'cancel', 'sources', 'preview', 'output-plot']
    for (const path of paths)
      expect(await server.bob.call(`/job/${id}/${path}`)).toMatchObject({ status: 404, json: unknownJob })
    for (const path of [`/download/${uid}`, `/delete/${uid}`])
      expect((await server.bob.call(path)).status).toBe(404)
    for (const path of ['/jobs', '/fileids']) expect((await server.bob.call(path)).text).toBe('[]')
    expect((await server.bob.call('/accounting')).json).toMatchObject({ njobs: 0, datasize: 0, jobsize: 0 })
    expect(
      await server.bob.submit({ app: 'probe', data_inputs: uid, job_inputs: { label: 'x' } }),
    ).toMatchObject({
      status: 400,
      json: {
        status: 'Cannot find file corresponding to given data input uid!',
        state: 'ABORTED',
        job_id: '',
      },
    })
    expect(
      await server.bob.submit({ app: 'probe', job_inputs: { inputfile: `../ann/${uid}.fits`, label: 'x' } }),
    ).toMatchObject({ status: 400 })
    expect((await (await server.operator()).call(`/job/${id}/status`)).status).toBe(200)
    expect(await server.ann.call(`/download/${uid}`)).toMatchObject({ status: 200 })
  })

  test('have accounts of their own, and the operator has the sums of all', async () => {
    const { json } = await server.ann.call('/accounting')
    const { njobs, njobs_completed: done, njobs_failed: failed, njobs_canceled: canceled } = json
    expect(Number(njobs)).toBeGreaterThan(3)
    expect(Number(done) + Number(failed) + Number(canceled)).toBe(njobs)
    expect(json).toMatchObject({ timestamp: expect.stringMatching(/GMT$/) as string, njobs_unknown: 0 })
    expect(Number(json['datasize'])).toBeGreaterThan(0)
    expect((await server.ann.call('/appstats')).json).toMatchObject({ njobs, nusers: 1 })
    // Of what all have used, one of two could take off his own.
    expect((await server.bob.call('/appstats')).json).toMatchObject({
      njobs: 0,
      datasize: 0,
      job_runtime: 0,
      nusers: 1,
    })
    const all = (await (await server.operator()).call('/appstats')).json
    expect(all).toMatchObject({ njobs, nusers: 1 })
    expect(JSON.stringify(all)).not.toContain('ann')
  })

  test('nobody gets in without a token, and is told before the body is read', async () => {
    for (const path of [
      '/apps',
      '/jobs',
      '/fileids',
      '/accounting',
      '/appstats',
      '/job/x/status',
      '/download/x',
    ]) {
      const { status, json, headers } = await server.stranger.call(path)
      expect([path, status, json]).toMatchObject([path, 401, { error: 'invalid_token' }])
      expect(headers.get('www-authenticate')).toBe('Bearer')
    }
    expect((await server.stranger.upload(picture, 'a.fits')).status).toBe(401)
    expect((await server.stranger.submit({ app: 'probe' })).status).toBe(401)
  })
})

describe('what is wrong', { timeout: longMs }, () => {
  const refused = (status: string) => ({
    status: 400,
    json: { status, state: 'ABORTED', job_id: '', submit_date: '' },
  })

  test('with a body is told in the words of caesar-rest', async () => {
    const uid = await uploaded()
    const probe = { app: 'probe', data_inputs: uid }
    const cases: readonly (readonly [unknown, string])[] = [
      ['', 'Invalid request data!'],
      ['{', 'Invalid request data!'],
      ['[]', 'Invalid request data!'],
      ['"text"', 'Invalid request data!'],
      ['null', 'Invalid request data!'],
      [{}, 'Invalid request data!'],
      ['['.repeat(100_000), 'Invalid request data!'],
      [`{"app":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`, 'Invalid request data!'],
      [{ data_inputs: uid }, 'No app name found in request!'],
      [{ app: '' }, 'No app name found in request!'],
      [{ app: 7 }, 'No app name found in request!'],
      [{ app: ['probe'] }, 'No app name found in request!'],
      [probe, 'No job inputs field found in request!'],
      [{ ...probe, job_inputs: {} }, 'No job inputs field found in request!'],
      [{ ...probe, job_inputs: null }, 'No job inputs field found in request!'],
      [{ app: 'probe', job_inputs: { label: 'x' } }, 'No data inputs field found in request!'],
      [{ app: 'probe', job_options: {} }, 'No data inputs field found in request!'],
      [{ ...probe, data_inputs: 'none', job_inputs: { a: 1 } }, noFile],
      [{ ...probe, data_inputs: 7, job_inputs: { a: 1 } }, noFile],
      [{ ...probe, data_inputs: '../../preferences.json', job_inputs: { a: 1 } }, noFile],
      [{ app: 'probe', job_inputs: { inputfile: '/etc/passwd' } }, noFile],
      [{ app: 'probe', job_inputs: { image: { a: 1 } } }, noFile],
      [{ app: 'probe', data_inputs: { data: '/etc/passwd', format: 'abspath' } }, noFile],
      [{ app: 'probe', data_inputs: { data: uid, format: 'gopher' } }, noFile],
      [{ app: 'probe', data_inputs: { data: 'x', format: 'dataset' } }, noFile],
      [{ app: 'probe', data_inputs: { data: [uid, uid] } }, noFile],
      [{ app: 'probe', data_inputs: '/etc/passwd', is_data_inputs_uid: false, job_inputs: { a: 1 } }, noFile],
      [{ app: 'nope', data_inputs: uid, job_inputs: { a: 1 } }, 'App nope not known or supported'],
      [{ app: '../probe', data_inputs: uid, job_inputs: { a: 1 } }, 'App ../probe not known or supported'],
      [{ ...probe, job_inputs: ['x'] }, 'Given job inputs data is not a dictionary!'],
      [{ ...probe, job_inputs: { loud: 1 } }, boolRefused],
      [{ ...probe, job_inputs: { loud: 'yes' } }, boolRefused],
      [{ ...probe, job_inputs: { level: 'much' } }, "Failed to cast option level to type <class 'float'> !"],
      [{ ...probe, job_inputs: { level: null } }, "Failed to cast option level to type <class 'float'> !"],
      [{ ...probe, job_inputs: { level: '' } }, "Failed to cast option level to type <class 'float'> !"],
      [{ ...probe, job_inputs: { count: 1.5 } }, "Failed to cast option count to type <class 'int'> !"],
      [{ ...probe, job_inputs: { count: true } }, "Failed to cast option count to type <class 'int'> !"],
      [{ ...probe, job_inputs: { label: {} } }, "Failed to cast option label to type <class 'str'> !"],
      [{ ...probe, job_inputs: { count: 11 } }, 'Option count value 11 is out of range [1,10]!'],
      [{ ...probe, job_inputs: { level: '-0.1' } }, 'Option level value -0.1 is out of range [0,1]!'],
      [
        { ...probe, job_inputs: { ending: 'odd' } },
        'Option ending value odd is not among valid enumerations!',
      ],
      [{ ...probe, job_inputs: { mask: '../../preferences.json' } }, noFile],
    ]
    for (const [body, status] of cases)
      expect([body, await server.ann.submit(body)]).toMatchObject([body, refused(status)])
    const form = await server.ann.call('/job', {
      method: 'POST',
      body: new URLSearchParams({ app: 'probe' }),
    })
    expect(form).toMatchObject(refused('Invalid request data!'))
  })

  test('with the size of a body is told as JSON, and nothing of it is kept', async () => {
    const { status, json } = await server.ann.submit({ app: 'x'.repeat(3_000_000) })
    expect([status, json]).toEqual([
      413,
      {
        app: '',
        job_id: '',
        state: 'ABORTED',
        status: expect.stringContaining('larger than') as string,
        submit_date: '',
      },
    ])
  })

  test('with a path is told as JSON', async () => {
    expect(await server.ann.call('/nothing')).toMatchObject({
      status: 404,
      json: { status: expect.any(String) as string },
    })
    expect(await server.ann.call('/apps/')).toMatchObject({ status: 404 })
    const { status, headers } = await server.ann.call('/jobs', { method: 'DELETE' })
    expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    for (const id of ['%2e%2e%2f', '%00', '__proto__', 'x'.repeat(5000)])
      for (const path of [`/job/${id}/status`, `/download/${id}`, `/delete/${id}`])
        expect((await server.ann.call(path)).status).toBe(404)
  })

  test('leaves no path of the server in any answer', async () => {
    const { text } = await server.ann.call('/jobs')
    expect(text).not.toContain(server.dataDirectory)
    expect(text).toContain('"job_top_dir":""')
  })
})

const noFile = 'Cannot find file corresponding to given data input uid!'
const boolRefused = 'Failed to parse bool option loud (parsed value type is not a boolean)!'

const why = whyNoSourceFinder()

describe.skipIf(why !== undefined)(
  `the source finder over caesar-rest${why === undefined ? '' : ` (skipped: ${why})`}`,
  { timeout: longMs },
  () => {
    test('finds the sources of an uploaded picture', async () => {
      const uid = await uploaded('made.fits', fitsOfMadeSources())
      const { json: options } = await server.ann.call('/app/source-finder/describe')
      // As some clients do: every default is sent along.
      const defaults = Object.fromEntries(
        Object.entries(options as Record<string, { default?: unknown }>)
          .map(([name, option]) => [name, option.default] as const)
          .filter(([, value]) => value !== undefined && value !== ''),
      )
      const { json } = await server.ann.submit({
        app: 'source-finder',
        data_inputs: { data: uid, format: 'uid' },
        job_options: { ...defaults, threshold: 4 },
      })
      const id = String(json['job_id'])
      expect(await server.ann.ended(id)).toMatchObject({ state: 'SUCCESS', exit_code: 0 })
      const { sources } = (await server.ann.call(`/job/${id}/sources`)).json as {
        sources: Record<string, number>[]
      }
      expect(sources).toHaveLength(madeSources.length)
      const table = await server.ann.call(`/job/${id}/output-sources`)
      expect(table.headers.get('content-disposition')).toContain('catalog.dat')
      expect(table.text).toContain('X_IMAGE')
      const plot = await server.ann.call(`/job/${id}/output-plot`)
      expect(plot.headers.get('content-type')).toBe('image/png')
      expect(plot.bytes.subarray(1, 4).toString()).toBe('PNG')
      const preview = await server.ann.call(`/job/${id}/preview`)
      expect(Buffer.from(String(preview.json['image']), 'base64').equals(plot.bytes)).toBe(true)
      expect(await server.ann.call(`/job/${id}/source-components`)).toMatchObject({ status: 404 })
    })
  },
)
