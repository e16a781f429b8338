import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { childNamed, childrenNamed, childText, parseXml, textOf, type XmlElement } from '../../src/api/xml.ts'
import { until } from '../conformance/until.ts'
import { password } from '../helpers/running-server.ts'
import { startServerWithUsers, type ServerWithUsers } from '../helpers/server-with-users.ts'
import { installWorkflow, uppercaseApp } from '../helpers/uppercase-app.ts'

const longMs = 120_000

let directory: string
let running: ServerWithUsers

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-boinc-'))
  await writeFile(join(directory, 'a.txt'), 'first text')
  await writeFile(join(directory, 'b.txt'), 'second text')
  running = await startServerWithUsers(
    { ann: { submitter: true }, bob: { submitter: true }, carl: {} },
    { boincRoots: directory, slots: '2' },
  )
  await installWorkflow(running.url, password, 'uppercase', uppercaseApp)
}, longMs)
afterAll(async () => {
  await running[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** A client as the page of 2010 describes it: XML, posted to job_control.php. */
async function ask(body: string): Promise<XmlElement> {
  const answer = await fetch(`${running.url}/boinc/job_control.php`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body,
  })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('text/xml')
  return parseXml(await answer.text())
}

const authenticator = (name: string) => `<authenticator>${running.keys[name]}</authenticator>`
const job = (commandLine: string, file = 'a.txt') =>
  `<job><command_line>${commandLine}</command_line><input_file>${join(directory, file)}</input_file></job>`
const batch = (jobs: readonly string[], name = 'ann', operation = 'batch_submit') =>
  `<${operation}>${authenticator(name)}<batch><app>uppercase</app>${jobs.join('')}</batch><priority>1</priority></${operation}>`
const queryBatch = (id: string, name = 'ann') =>
  ask(`<query_batch>${authenticator(name)}<batch_id>${id}</batch_id></query_batch>`)
const queryJob = (jobName: string, name = 'ann') =>
  ask(`<query_job>${authenticator(name)}<name>${jobName}</name></query_job>`)
const abort = (id: string, name = 'ann') =>
  ask(`<abort_batch>${authenticator(name)}<batch_id>${id}</batch_id></abort_batch>`)

async function submit(jobs: readonly string[], name = 'ann'): Promise<string> {
  const root = await ask(batch(jobs, name))
  expect(root, JSON.stringify(root)).toMatchObject({ name: 'batch_id' })
  return textOf(root)
}

async function untilDone(id: string, name = 'ann'): Promise<XmlElement> {
  let last: XmlElement | undefined
  return until(
    `batch ${id} has ended`,
    async () => {
      last = await queryBatch(id, name)
      return childText(last, 'fraction_done') === '1' ? last : undefined
    },
    () => last,
    longMs,
  )
}

describe('a client of 2010', () => {
  test('estimates, submits, follows and ends batches', { timeout: longMs }, async () => {
    const estimate = await ask(batch([job('--t ALPHA')], 'ann', 'batch_estimate'))
    expect(estimate.name).toBe('estimate')
    expect(Number(childText(estimate, 'seconds'))).toBeGreaterThan(0)

    const id = await submit([job('--t ALPHA'), job("--t 'B C'", 'b.txt'), job('--fail')])
    const status = await untilDone(id)
    expect(status).toMatchObject({ name: 'batch_status' })
    expect(childText(status, 'jobs_completed')).toBe('3')
    expect(childText(status, 'jobs_failed')).toBe('1')
    expect(childText(status, 'remaining_time')).toBe('0')

    const done = await queryJob(`batch_${id}_0`)
    expect(done.name).toBe('job_status')
    const instance = childNamed(done, 'instance')
    if (instance === undefined) throw new Error('no instance')
    for (const name of ['hostid', 'userid']) expect(childText(instance, name)).toBe('0')
    expect(Number(childText(instance, 'runtime'))).toBeGreaterThanOrEqual(0)
    expect(childText(instance, 'fraction_done')).toBe('1')
    const failed = childNamed(await queryJob(`batch_${id}_2`), 'instance')
    expect(failed === undefined ? '' : childText(failed, 'exit_status')).toBe('3')
  })
})

describe('batches', () => {
  test('are ended by abort, also twice, and what has ended stays', { timeout: longMs }, async () => {
    const id = await submit([job('--sleep 0'), job('--sleep 300'), job('--sleep 300'), job('--sleep 300')])
    await until(
      'the first job is done',
      async () => {
        const status = await queryBatch(id)
        return childText(status, 'jobs_completed') === '1' ? status : undefined
      },
      () => id,
      longMs,
    )
    expect(childText(await queryBatch(id), 'fraction_done')).toBe('0.25')
    expect(Number(childText(await queryBatch(id), 'remaining_time'))).toBeGreaterThan(0)
    await until(
      'another one runs',
      async () => {
        const instance = childNamed(await queryJob(`batch_${id}_1`), 'instance')
        return instance !== undefined && childText(instance, 'runtime') !== undefined ? instance : undefined
      },
      () => id,
      longMs,
    )
    expect(childNamed(childNamed(await queryJob(`batch_${id}_3`), 'instance')!, 'unsent')).toBeDefined()
    expect(await abort(id)).toEqual({ name: 'aborted', attributes: {}, children: [] })
    expect((await abort(id)).name).toBe('aborted')
    const status = await queryBatch(id)
    expect(childText(status, 'fraction_done')).toBe('1')
    expect(childText(status, 'jobs_failed')).toBe('3')
    expect(childText(status, 'remaining_time')).toBe('0')
    expect(childNamed(await queryJob(`batch_${id}_0`), 'instance')).toBeDefined()
    for (const number of [1, 2, 3])
      expect((await queryJob(`batch_${id}_${number}`)).children).toEqual([
        { name: 'aborted', attributes: {}, children: [] },
      ])
  })

  test('are told to the audit log, and so is who is refused', { timeout: longMs }, async () => {
    const id = await submit([job('--sleep 300')])
    await abort(id)
    await ask(batch([job('')]).replace(running.keys['ann']!, 'a wrong key'))
    await ask(batch([job('')], 'ann', 'batch_estimate').replace(running.keys['ann']!, 'another wrong key'))
    const lines = await until(
      'four more lines',
      async () => {
        const log = await readFile(join(running.server.dataDirectory, 'audit.log'), 'utf8')
        const last = log.trim().split('\n').slice(-4)
        return last[3]?.includes('"request"') === true ? last : undefined
      },
      () => id,
    )
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { action: 'start', outcome: 'ok', user: 'ann' },
      { action: 'cancel', outcome: 'ok', user: 'ann' },
      { action: 'start', outcome: 'token-invalid' },
      { action: 'request', outcome: 'token-invalid' },
    ])
  })

  test('go on after a restart of the server in their midst', { timeout: longMs }, async () => {
    const id = await submit([
      job('--sleep 0'),
      job('--sleep 3 --t x'),
      job('--sleep 3 --t y'),
      job('--sleep 0 --t z'),
    ])
    await until(
      'one job is done',
      async () => {
        const status = await queryBatch(id)
        return childText(status, 'jobs_completed') === '0' ? undefined : status
      },
      () => id,
      longMs,
    )
    await running.restart()
    expect(childText(await untilDone(id), 'jobs_failed')).toBe('0')
    const next = await submit([job('')])
    expect(Number(next)).toBeGreaterThan(Number(id))
    await untilDone(next)
  })

  test('of one user are not there for another', { timeout: longMs }, async () => {
    const id = await submit([job('--sleep 300')])
    const none = { name: 'error', children: [{ name: 'message', children: ['no such batch'] }] }
    expect(await queryBatch(id, 'bob')).toMatchObject(none)
    expect(await abort(id, 'bob')).toMatchObject(none)
    expect(await queryJob(`batch_${id}_0`, 'bob')).toMatchObject({
      children: [{ name: 'message', children: ['no such job'] }],
    })
    expect(await queryBatch('999999', 'bob')).toMatchObject(none)
    const list = await today(`<query_batches>${authenticator('bob')}</query_batches>`)
    expect(childrenNamed(list, 'batch')).toEqual([])
    expect(
      await today(`<query_batch>${authenticator('bob')}<batch_id>${id}</batch_id></query_batch>`),
    ).toMatchObject({
      name: 'query_batch',
      children: [
        { name: 'error', children: [{ name: 'error_num', children: ['-1'] }, { name: 'error_msg' }] },
      ],
    })
    await abort(id)
  })
})

describe('what is refused', () => {
  const message = async (body: string) => {
    const root = await ask(body)
    expect(root.name).toBe('error')
    return childText(root, 'message')
  }
  test('is told as BOINC tells it', { timeout: longMs }, async () => {
    expect(await message('<batch_estimate><batch><app>uppercase</app></batch></batch_estimate>')).toBe(
      'no authenticator',
    )
    expect(
      await message(
        '<batch_estimate><authenticator>x</authenticator><batch><app>uppercase</app></batch></batch_estimate>',
      ),
    ).toBe('bad authenticator')
    expect(await message(batch([job('')], 'carl'))).toBe('no submit access')
    expect(await message(batch([job('')]).replace('uppercase', 'none'))).toBe('app not found: none')
    expect(await message(batch([job(''), '<job/>']))).toBe('wrong # of input files for job 1: need 1, got 0')
    expect(await message(batch([job('--no-such 1')]))).toMatch(/^create_work failed: job 0: .*--t/)
    expect(await message(batch([job('--sleep -1')]))).toMatch(/^create_work failed: job 0: sleep/)
    expect(
      await message(batch([job('')]).replace('</app>', '</app><input_template>../x</input_template>')),
    ).toBe("couldn't parse input template file ../x")
    expect(await message(batch(['<job><input_file>/etc/passwd</input_file></job>']))).toMatch(
      /no file that the operator allows/,
    )
    expect(
      await message(batch([`<job><input_file>${directory}/../../etc/passwd</input_file></job>`])),
    ).toMatch(/no file that/)
    expect(await message(batch(['<job><input_file>http://127.0.0.1:1/x</input_file></job>']))).toMatch(
      /the operator does not allow files from 127.0.0.1:1/,
    )
    expect(await message(batch(['<job><input_file>file:///etc/passwd</input_file></job>']))).toMatch(
      /http or https/,
    )
  })
  test('as no XML is told to everybody', { timeout: longMs }, async () => {
    const bomb =
      '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><query_batch>&c;</query_batch>'
    for (const body of [
      '',
      'hello',
      '<a',
      '<query_batch>',
      bomb,
      '<drop_everything/>',
      `<ping>${'<a>'.repeat(1000)}`,
    ]) {
      const root = await ask(body)
      expect(root.name).toBe('error')
      expect(childText(root, 'message')).toMatch(/^(can't parse request message: .+|bad command)$/)
      expect(childText(root, 'error_num')).toBe('-1')
      expect(childText(root, 'error_msg')).toBe(childText(root, 'message'))
    }
    const get = await fetch(`${running.url}/boinc/job_control.php`)
    expect([get.status, (await get.text()).includes("can't parse request message")]).toEqual([200, true])
    const large = await ask(`<ping>${' '.repeat(64 * 2 ** 20)}</ping>`)
    expect(childText(large, 'message')).toMatch(/larger than/)
  })
  test('leaves nothing behind', { timeout: longMs }, async () => {
    const before = childrenNamed(
      await today(`<query_batches>${authenticator('bob')}</query_batches>`),
      'batch',
    )
    await message(batch([job('--no-such 1')], 'bob'))
    await message(batch(['<job><input_file>/nowhere</input_file></job>'], 'bob'))
    expect(
      childrenNamed(await today(`<query_batches>${authenticator('bob')}</query_batches>`), 'batch'),
    ).toEqual(before)
  })
})

/** A client of today: a form with the field `request`, posted to submit_rpc_handler.php. */
async function today(
  request: string,
  form: 'urlencoded' | 'multipart' = 'urlencoded',
  file = 'submit_rpc_handler.php',
  parts: readonly [string, string, string][] = [],
): Promise<XmlElement> {
  let body: URLSearchParams | FormData = new URLSearchParams({ request })
  if (form === 'multipart') {
    body = new FormData()
    body.set('request', request)
    for (const [name, content, fileName] of parts) body.append(name, new Blob([content]), fileName)
  }
  const answer = await fetch(`${running.url}/boinc/${file}`, { method: 'POST', body })
  const text = await answer.text()
  expect(answer.status).toBe(200)
  expect(text.startsWith('<?xml version="1.0" encoding="ISO-8859-1" ?>\n')).toBe(true)
  expect(Buffer.byteLength(text)).toBe(text.length)
  return parseXml(text)
}

describe('a client of today', () => {
  const ann = () => authenticator('ann')
  const inline = (text: string) => `<input_file><mode>inline</mode><source>${text}</source></input_file>`
  const download = async (query: Readonly<Record<string, string>>, file = 'get_output.php') => {
    const answer = await fetch(`${running.url}/boinc/${file}?${new URLSearchParams(query).toString()}`)
    return {
      status: answer.status,
      disposition: answer.headers.get('content-disposition'),
      bytes: Buffer.from(await answer.arrayBuffer()),
    }
  }
  const digest = (text: string) =>
    createHash('md5')
      .update(running.keys['ann'] + text)
      .digest('hex')

  test('goes through the whole life of a batch', { timeout: longMs }, async () => {
    expect(await today('<ping> </ping>', 'multipart')).toMatchObject({
      name: 'ping',
      children: [{ name: 'success' }],
    })
    const created = await today(
      `<create_batch>${ann()}<app_name>uppercase</app_name><batch_name>b1</batch_name><expire_time>0</expire_time></create_batch>`,
    )
    const id = childText(created, 'batch_id') ?? ''
    expect(created.name).toBe('create_batch')
    const query = (more = '') => today(`<query_batch>${ann()}<batch_id>${id}</batch_id>${more}</query_batch>`)
    expect(childText(await query(), 'state')).toBe('0')
    const submission = (
      operation: string,
      batchId = id,
    ) => `<${operation}>${ann()}<batch><app_name>uppercase</app_name><batch_id>${batchId}</batch_id><batch_name></batch_name>
      <job_params><rsc_fpops_est>1e9</rsc_fpops_est><rsc_disk_bound>0.000000</rsc_disk_bound></job_params>
      <job><name>${operation}-one</name><command_line>--t &lt;é&gt;</command_line>${inline('ein &amp; zwei')}</job>
      <job><name>${operation}-two</name><command_line>--fail</command_line>${inline('x')}</job>
      <job>${inline('ein &amp; zwei')}</job></batch></${operation}>`
    expect(
      Number(childText(await today(submission('estimate_batch'), 'multipart'), 'seconds')),
    ).toBeGreaterThan(0)
    expect(childText(await today(submission('submit_batch'), 'multipart'), 'batch_id')).toBe(id)
    expect(JSON.stringify(await today(submission('submit_batch')))).toContain('batch not in init state')
    expect(JSON.stringify(await today(submission('submit_batch', '0')))).toContain(
      'create_work failed: a job named submit_batch-one',
    )

    const done = await until(
      'the batch is complete',
      async () => {
        const root = await query('<get_job_details>1</get_job_details><get_cpu_time>1</get_cpu_time>')
        return childText(root, 'state') === '2' ? root : undefined
      },
      () => id,
      longMs,
    )
    expect(done.children.filter((child) => typeof child !== 'string').map((child) => child.name)).toEqual([
      'id',
      'create_time',
      'expire_time',
      'est_completion_time',
      'njobs',
      'fraction_done',
      'nerror_jobs',
      'state',
      'completion_time',
      'credit_estimate',
      'credit_canonical',
      'name',
      'app_name',
      'total_cpu_time',
      'job',
      'job',
      'job',
    ])
    expect([childText(done, 'njobs'), childText(done, 'nerror_jobs'), childText(done, 'name')]).toEqual([
      '3',
      '1',
      'b1',
    ])
    const jobs = childrenNamed(done, 'job')
    expect(jobs.map((each) => childText(each, 'name'))).toEqual([
      'submit_batch-one',
      'submit_batch-two',
      `batch_${id}_2`,
    ])
    expect(jobs.map((each) => childText(each, 'status'))).toEqual(['done', 'error', 'done'])
    expect([
      childText(jobs[1]!, 'error'),
      childText(jobs[1]!, 'exit_status'),
      childText(jobs[1]!, 'canonical_instance_id'),
    ]).toEqual(['too_many_error_results', '3', '0'])
    expect(Number(childText(jobs[0]!, 'canonical_instance_id'))).toBeGreaterThan(0)

    const jobId = childText(jobs[0]!, 'id') ?? ''
    const instances = await today(`<query_job>${ann()}<job_id>${jobId}</job_id></query_job>`)
    const instance = childNamed(instances, 'instance')!
    expect([childText(instance, 'name'), childText(instance, 'state')]).toEqual([
      'submit_batch-one_0',
      'Completed and validated',
    ])
    expect(childText(childNamed(instance, 'outfile')!, 'size')).toBe('14')
    const failed = childNamed(
      await today(`<query_completed_job>${ann()}<job_name>submit_batch-two</job_name></query_completed_job>`),
      'completed_job',
    )!
    expect([childText(failed, 'error_mask'), childText(failed, 'exit_status')]).toEqual(['2', '3'])
    expect(childNamed(failed, 'error_resultid')).toBeDefined()
    expect(childText(failed, 'stderr_out')).toContain('told to &#60;fail&#62;')

    const output = await download({
      cmd: 'result_file',
      result_name: 'submit_batch-one_0',
      file_num: '0',
      auth_str: digest('submit_batch-one_0'),
    })
    expect([output.status, output.bytes.toString(), output.disposition]).toEqual([
      200,
      '<é>EIN & ZWEI',
      'attachment; filename="submit_batch-one_0__out"',
    ])
    const wholes = [
      await download({ cmd: 'batch_files', batch_id: id, auth_str: digest(id) }),
      await download({ cmd: 'workunit_files', wu_id: jobId, auth_str: digest(jobId) }),
      await download({ cmd: 'batch', batch_id: id, auth: running.keys['ann'] ?? '' }, 'get_output2.php'),
    ]
    for (const [index, { status, bytes }] of wholes.entries()) {
      expect(status).toBe(200)
      expect(unzip(bytes)).toEqual(
        index === 1
          ? { out: '<é>EIN & ZWEI' }
          : { 'submit_batch-one_0__out': '<é>EIN & ZWEI', [`batch_${id}_2_0__out`]: 'EIN & ZWEI' },
      )
    }
    expect(
      (
        await download({
          cmd: 'workunit_file',
          wu_name: 'submit_batch-one',
          file_num: '0',
          auth_str: running.keys['ann'] ?? '',
        })
      ).bytes.toString(),
    ).toBe('<é>EIN & ZWEI')
    for (const wrong of [
      { cmd: 'batch_files', batch_id: id, auth_str: digest('0') },
      { cmd: 'batch_files', batch_id: '999', auth_str: digest('999') },
      { cmd: 'batch_files', batch_id: id, auth_str: '' },
      { cmd: 'batch', batch_id: id, auth: running.keys['bob'] ?? '' },
      { cmd: 'batch', batch_id: id, auth: 'x' },
    ])
      expect(await download(wrong)).toMatchObject({
        status: 403,
        bytes: expect.toSatisfy((bytes: Buffer) => bytes.toString().startsWith('ERROR: ')),
      })

    expect(await today(`<retire_batch>${ann()}<batch_name>b1</batch_name></retire_batch>`)).toMatchObject({
      children: [{ name: 'success', children: ['1'] }],
    })
    expect(childText(await query(), 'state')).toBe('4')
    const left = childrenNamed(await today(`<query_batches>${ann()}</query_batches>`), 'batch')
    expect(left.map((each) => childText(each, 'id'))).not.toContain(id)
    expect(
      (
        await download({
          cmd: 'result_file',
          result_name: 'submit_batch-one_0',
          file_num: '0',
          auth_str: digest('submit_batch-one_0'),
        })
      ).status,
    ).toBe(404)
  })

  test('follows changes as HTCondor does, and misses none', { timeout: longMs }, async () => {
    const text = `<submit_batch>${ann()}<batch><app_name>uppercase</app_name><batch_name>condor</batch_name>
      <job><name>c0</name>${inline('x')}</job><job><name>c1</name><command_line>--sleep 2</command_line>${inline('x')}</job></batch></submit_batch>`
    await today(text)
    const seen = new Map<string, string>()
    let since = '0'
    await until(
      'both are done',
      async () => {
        const root = await today(
          `<query_batch2>${ann()}<min_mod_time>${since}</min_mod_time><batch_name>condor</batch_name></query_batch2>`,
        )
        since = childText(root, 'server_time') ?? ''
        const jobs = childrenNamed(root, 'job')
        expect(childText(root, 'batch_size')).toBe(String(jobs.length))
        for (const each of jobs) seen.set(childText(each, 'job_name') ?? '', childText(each, 'status') ?? '')
        return [...seen.values()].join() === 'DONE,DONE' ? root : undefined
      },
      () => [...seen],
      longMs,
    )
    const later = Number(since) + 3600
    const last = await today(
      `<query_batch2>${ann()}<min_mod_time>${later}</min_mod_time><batch_name>condor</batch_name></query_batch2>`,
    )
    expect(childText(last, 'batch_size')).toBe('0')
  })

  test('aborts single jobs, of several batches at once', { timeout: longMs }, async () => {
    const slow = (name: string) =>
      `<job><name>${name}</name><command_line>--sleep 300</command_line>${inline('x')}</job>`
    const submitted = await today(
      `<submit_batch>${ann()}<batch><app_name>uppercase</app_name>${slow('s0')}${slow('s1')}</batch></submit_batch>`,
    )
    const id = childText(submitted, 'batch_id')
    await today(`<abort_jobs>${ann()}<job_name>s1</job_name></abort_jobs>`)
    const query = () =>
      today(
        `<query_batch>${ann()}<batch_id>${id}</batch_id><get_job_details>1</get_job_details></query_batch>`,
      )
    const half = await query()
    expect([childText(half, 'fraction_done'), childText(half, 'state')]).toEqual(['0.5', '1'])
    expect(childText(childrenNamed(half, 'job')[1]!, 'error')).toBe('cancelled')
    await today(`<abort_jobs>${ann()}<job_name>s0</job_name></abort_jobs>`)
    expect(childText(await query(), 'fraction_done')).toBe('1')
    expect(
      JSON.stringify(await today(`<abort_jobs>${ann()}<job_name>none</job_name></abort_jobs>`)),
    ).toContain('no job none')
  })

  test('uploads files once, under names that keep their content', { timeout: longMs }, async () => {
    const files = (operation: string, names: readonly string[], name = 'ann') =>
      `<${operation}>${authenticator(name)}<batch_id>0</batch_id><delete_time>0</delete_time>${names.map((each) => `<phys_name>${each}</phys_name>`).join('')}</${operation}>`
    const send = (request: string, parts: readonly [string, string, string][] = []) =>
      today(request, 'multipart', 'job_file.php', parts)
    const absent = async (name = 'ann') => {
      const root = await send(files('query_files', ['one', 'two'], name))
      return childrenNamed(childNamed(root, 'absent_files')!, 'file').map((each) => each.children[0])
    }
    expect(await absent()).toEqual(['0', '1'])
    expect(
      await send(files('upload_files', ['one', 'two']), [
        ['file_1', 'second', 'two'],
        ['file_0', 'first', 'one'],
      ]),
    ).toMatchObject({
      name: 'upload_files',
      children: [{ name: 'success' }],
    })
    expect(await absent()).toEqual([])
    expect(await absent('bob')).toEqual(['0', '1'])
    expect(
      JSON.stringify(await send(files('upload_files', ['one']), [['file_0', 'first', 'one']])),
    ).toContain('success')
    expect(
      JSON.stringify(await send(files('upload_files', ['one']), [['file_0', 'other', 'one']])),
    ).toContain('file immutability violation for one')
    expect(JSON.stringify(await send(files('upload_files', ['one'])))).toContain(
      "# of uploaded files (0) doesn't agree with request (1)",
    )
    expect(
      JSON.stringify(await send(files('upload_files', ['../one']), [['file_0', 'first', 'one']])),
    ).toContain('bad filename')
    expect(
      JSON.stringify(
        await send(files('upload_files', ['three']).replace(running.keys['ann'] ?? '', 'wrong'), [
          ['file_0', 'first', 'x'],
        ]),
      ),
    ).toContain('bad authenticator')
    await running.restart()
    const staged = '<job><input_file><mode>local_staged</mode><source>two</source></input_file></job>'
    const submitted = await today(
      `<submit_batch>${ann()}<batch><app_name>uppercase</app_name>${staged}</batch></submit_batch>`,
    )
    const id = childText(submitted, 'batch_id') ?? ''
    await untilDone(id)
    const auth = running.keys['ann'] ?? ''
    expect(
      (
        await download({ cmd: 'workunit_file', wu_name: `batch_${id}_0`, file_num: '0', auth_str: auth })
      ).bytes.toString(),
    ).toBe('SECOND')
    expect(
      JSON.stringify(
        await today(
          `<submit_batch>${authenticator('bob')}<batch><app_name>uppercase</app_name>${staged}</batch></submit_batch>`,
        ),
      ),
    ).toContain("Can't get MD5 of file two")
  })

  test('reads templates', async () => {
    const templates = childNamed(
      await today(`<get_templates>${ann()}<app_name>uppercase</app_name></get_templates>`),
      'templates',
    )!
    expect(JSON.stringify(childNamed(templates, 'input_template'))).toContain(
      '"open_name","attributes":{},"children":["in"]',
    )
    expect(JSON.stringify(childNamed(templates, 'output_template'))).toContain('OUTFILE_0')
  })

  test('counts jobs of the whole server without a key', async () => {
    const answer = await fetch(`${running.url}/boinc/server_status.php?counts=1`, { method: 'POST' })
    expect(parseXml(await answer.text())).toMatchObject({
      name: 'job_counts',
      children: expect.arrayContaining([expect.objectContaining({ name: 'results_in_progress' })]),
    })
  })

  test('has many jobs made and listed within seconds', { timeout: 4 * longMs }, async () => {
    const many = 2000
    const began = performance.now()
    const submitted = await today(
      `<submit_batch>${ann()}<batch><app_name>uppercase</app_name>${`<job><command_line>--sleep 60</command_line>${inline('x')}</job>`.repeat(many)}</batch></submit_batch>`,
    )
    const id = childText(submitted, 'batch_id') ?? ''
    const submitMs = performance.now() - began
    const listed = await today(
      `<query_batch>${ann()}<batch_id>${id}</batch_id><get_job_details>1</get_job_details></query_batch>`,
    )
    expect(childrenNamed(listed, 'job')).toHaveLength(many)
    const listMs = performance.now() - began - submitMs
    expect({ submitMs, listMs }).toEqual({
      submitMs: expect.toSatisfy((each: number) => each < 60_000),
      listMs: expect.toSatisfy((each: number) => each < 20_000),
    })
    await abort(id)
  })
})

/** The files of an archive, by a program that is not ours. */
function unzip(archive: Buffer): Record<string, string> {
  const script =
    'import sys,io,zipfile,json;z=zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()));assert z.testzip() is None;print(json.dumps({n:z.read(n).decode() for n in z.namelist()}))'
  return JSON.parse(execFileSync('python3', ['-c', script], { input: archive, encoding: 'utf8' })) as Record<
    string,
    string
  >
}
