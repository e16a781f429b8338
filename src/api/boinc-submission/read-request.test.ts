import { describe, expect, it } from 'vitest'
import { readRequest, type RequestOrigin } from './read-request.ts'

const control: RequestOrigin = { file: 'job_control.php', isRaw: true }
const handler: RequestOrigin = { file: 'submit_rpc_handler.php', isRaw: false }
const elsewhere: RequestOrigin = { file: 'job_file.php', isRaw: false }
const read = (text: string, origin = control) => {
  const request = readRequest(text, origin)
  return { ...request, read: undefined, ...request.read() }
}

describe('requests of 2010', () => {
  it('estimate and submit a batch', () => {
    const text = `<batch_estimate>
      <authenticator>KEY</authenticator>
      <batch>
        <app>uppercase</app>
        <input_template>uppercase_in</input_template> <output_template>uppercase_out</output_template>
        <job> <command_line>--t 1</command_line> <input_file>https://host/a.dat</input_file> <input_file>/data/b</input_file></job>
        <job/>
      </batch>
      <priority>3</priority>
    </batch_estimate>`
    expect(read(text)).toMatchObject({
      operation: 'batch_estimate',
      generation: 'first',
      authenticator: 'KEY',
      kind: 'estimate',
      batch: {
        app: 'uppercase',
        batchId: 0,
        priority: 3,
        inputTemplateName: 'uppercase_in',
        outputTemplateName: 'uppercase_out',
        jobs: [
          {
            commandLine: '--t 1',
            name: undefined,
            inputFiles: [
              { kind: 'url', url: 'https://host/a.dat' },
              { kind: 'path', path: '/data/b' },
            ],
            inputTemplate: undefined,
            isTargeted: false,
          },
          { commandLine: '', inputFiles: [] },
        ],
      },
    })
    expect(read(text.replaceAll('batch_estimate', 'batch_submit'), elsewhere)).toMatchObject({
      generation: 'first',
      kind: 'submit',
    })
  })

  it('ask for jobs and batches', () => {
    expect(
      read('<query_job><authenticator>K</authenticator><name>batch_7_0</name></query_job>', handler),
    ).toMatchObject({ generation: 'first', kind: 'query-job', job: { name: 'batch_7_0' } })
    expect(
      read('<query_batch><authenticator>K</authenticator><batch_id>7</batch_id></query_batch>'),
    ).toMatchObject({ generation: 'first', kind: 'query-batch', batch: { id: 7 } })
    expect(
      read('<abort_batch><authenticator>K</authenticator><batch_id>7</batch_id></abort_batch>'),
    ).toMatchObject({ generation: 'first', kind: 'abort-batch', batch: { id: 7 } })
  })

  it('of the second half of 2011 name their input files by source', () => {
    const { kind, ...rest } = read(
      '<batch_submit><batch><app_name>a</app_name><job><input_file><source>http://h/x</source><physical_name>x</physical_name></input_file></job></batch></batch_submit>',
      { file: 'submit.php', isRaw: false },
    )
    expect({ kind, ...rest }).toMatchObject({
      generation: 'first',
      batch: { app: 'a', jobs: [{ inputFiles: [{ kind: 'url', url: 'http://h/x' }] }] },
    })
  })
})

describe('requests that look the same', () => {
  const query = '<query_batch><batch_id>7</batch_id></query_batch>'
  it.each([
    [query, handler, 'third'],
    [query, { ...handler, isRaw: true }, 'third'],
    [query, control, 'first'],
    [query, { file: 'submit.php', isRaw: false }, 'first'],
    [query, { ...elsewhere, isRaw: true }, 'first'],
    [query, elsewhere, 'of-batch'],
    ['<query_batch><batch_id>7</batch_id><get_cpu_time>0</get_cpu_time></query_batch>', control, 'third'],
    ['<abort_batch><batch_name>b</batch_name></abort_batch>', control, 'third'],
    ['<query_job><job_id>70</job_id></query_job>', control, 'third'],
    ['<retire_batch><batch_id>7</batch_id></retire_batch>', control, 'third'],
  ] as const)('%s is told by where it came', (text, origin, generation) => {
    expect(readRequest(text, origin).generation).toBe(generation)
  })
})

describe('requests of today', () => {
  it('submit a batch with all that there is', () => {
    const text = `<submit_batch>
      <authenticator>KEY</authenticator>
      <batch>
        <app_name>uppercase</app_name>
        <batch_id>7</batch_id>
        <batch_name>b1</batch_name>
        <app_version_num>0</app_version_num>
        <allocation_priority/> <priority>3</priority>
        <input_template_filename>F</input_template_filename> <output_template_filename>G</output_template_filename>
        <job_params> <rsc_disk_bound>0.000000</rsc_disk_bound> <rsc_fpops_est>   60e9  </rsc_fpops_est> <delay_bound/> </job_params>
        <job>
          <name>j0</name> <rsc_fpops_est>1e9</rsc_fpops_est> <command_line>--t 1</command_line>
          <target_host>4</target_host>
          <input_template><file_info/><workunit><file_ref><open_name>in</open_name><copy_file/></file_ref><rsc_memory_bound>1e6</rsc_memory_bound></workunit></input_template>
          <output_template><result><file_ref><file_name><OUTFILE_0/></file_name><open_name>out</open_name></file_ref></result></output_template>
          <input_file><mode>inline</mode><source> a
b </source></input_file>
          <input_file><mode>local</mode><source>/data/a</source></input_file>
          <input_file><mode>semilocal</mode><source>http://h/a</source></input_file>
          <input_file><mode>remote</mode><url>http://h/b</url><nbytes>12.0</nbytes><md5>D41D8CD98F00B204E9800998ECF8427E</md5></input_file>
          <input_file><mode>local_staged</mode><source>one</source></input_file>
          <input_file><mode>sandbox</mode><source>two</source></input_file>
        </job>
      </batch>
    </submit_batch>`
    expect(read(text, handler)).toMatchObject({
      operation: 'submit_batch',
      generation: 'third',
      kind: 'submit',
      batch: {
        batchId: 7,
        name: 'b1',
        priority: 3,
        inputTemplateName: 'F',
        outputTemplateName: 'G',
        bounds: { operationsEstimate: 60e9 },
        jobs: [
          {
            name: 'j0',
            operationsEstimate: 1e9,
            isTargeted: true,
            inputTemplate: { openNames: ['in'], bounds: { memoryBytes: 1e6 } },
            outputTemplate: { openNames: ['out'] },
            inputFiles: [
              { kind: 'inline', content: ' a\nb ' },
              { kind: 'path', path: '/data/a' },
              { kind: 'url', url: 'http://h/a' },
              { kind: 'url', url: 'http://h/b', bytes: 12, md5: 'd41d8cd98f00b204e9800998ecf8427e' },
              { kind: 'upload', name: 'one' },
              { kind: 'upload', name: 'two' },
            ],
          },
        ],
      },
    })
  })

  it('take 0 for a batch that is not named by its number', () => {
    expect(read('<query_batch><batch_id>0</batch_id><batch_name>b</batch_name></query_batch>')).toMatchObject(
      {
        batch: { name: 'b' },
      },
    )
    expect(() => read('<query_batch><batch_id>0</batch_id></query_batch>')).toThrow('batch not specified')
  })

  it.each([
    ['<ping> </ping>', { kind: 'ping', authenticator: '' }],
    [
      '<create_batch><app_name>a</app_name><batch_name>b</batch_name><expire_time>1e9</expire_time></create_batch>',
      { kind: 'create', app: 'a', name: 'b', expireSeconds: 1e9 },
    ],
    ['<query_batches><get_cpu_time>1</get_cpu_time></query_batches>', { withCpuTime: true }],
    ['<query_batches><get_cpu_time>0</get_cpu_time></query_batches>', { withCpuTime: false }],
    [
      '<query_batch><batch_id>1</batch_id><get_job_details>1</get_job_details></query_batch>',
      { withDetails: true, withCpuTime: false },
    ],
    [
      '<query_batch2><min_mod_time>1700000000.5</min_mod_time><batch_name>a</batch_name><batch_name>b</batch_name></query_batch2>',
      { kind: 'query-batch2', names: ['a', 'b'], sinceSeconds: 1700000000.5 },
    ],
    [
      '<set_expire_time><batch_name>a</batch_name><expire_time>5</expire_time></set_expire_time>',
      { expireSeconds: 5 },
    ],
    ['<query_completed_job><job_name>j</job_name></query_completed_job>', { name: 'j' }],
    ['<abort_jobs><job_name>j</job_name><job_name>k</job_name></abort_jobs>', { names: ['j', 'k'] }],
    ['<get_templates><app_name>a</app_name></get_templates>', { of: { app: 'a' } }],
    ['<get_templates><job_name>j</job_name></get_templates>', { of: { job: 'j' } }],
    [
      '<query_files><batch_id>0</batch_id><delete_time>0</delete_time><phys_name>N</phys_name></query_files>',
      { kind: 'query-files', batchId: 0, deleteSeconds: 0, names: ['N'] },
    ],
  ])('%s', (text, expected) => {
    expect(read(text, handler)).toMatchObject(expected)
  })

  it.each([
    ['not XML', /^can't parse request message: /],
    ['<a', /^can't parse request message: /],
    ['<!DOCTYPE a><ping/>', /^can't parse request message: .*expected none/],
    [
      '<submit_batch><batch><job><command_line>a < b & c</command_line></job></batch></submit_batch>',
      /line 1, column/,
    ],
    ['<drop_tables/>', /^bad command$/],
    ['<constructor/>', /^can't parse request message/],
    ['<toString/>', /bad command|can't parse/],
    ['<submit_batch/>', /there is no batch in it/],
    ['<query_job><job_id>1.5</job_id></query_job>', /job_id is no whole number/],
    ['<query_job><job_id>0x10</job_id></query_job>', /job_id is no number/],
    [
      '<submit_batch><batch><job><input_file><mode>ftp</mode></input_file></job></batch></submit_batch>',
      /unsupported file mode: ftp/,
    ],
  ])('%s is refused', (text, message) => {
    expect(() => read(text, handler)).toThrow(message)
  })
})
