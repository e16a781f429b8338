import { describe, expect, it } from 'vitest'
import { firstRequest, reportedResult } from './examples.fixtures.ts'
import { readRequest } from './read-request.ts'

const bytes = (text: string) => Buffer.from(text, 'utf8').toString('latin1')
const request = (content: string) =>
  readRequest(bytes(`<scheduler_request>\n${content}\n</scheduler_request>\n`))

describe('a request', () => {
  it('is read as a new host sends it', () => {
    expect(readRequest(bytes(firstRequest))).toEqual({
      authenticator: '0123456789abcdef0123456789abcdef',
      hostId: 0,
      sequenceNumber: 0,
      clientVersion: { major: 7, minor: 20, release: 5 },
      platforms: ['x86_64-pc-linux-gnu'],
      wanted: { seconds: 1, cpuSeconds: 1, idleCpus: 0 },
      codeSignKey: '',
      allowsMultipleClients: true,
      host: {
        crossProjectId: 'c45265aa44cb6158b99da6db3f57e5b5',
        name: 'box',
        address: '192.0.2.7',
        timezoneSeconds: 0,
        cpus: 2,
        cpuVendor: '',
        cpuModel: '',
        flops: 1e9,
        integerOperations: 0,
        memoryBytes: 25_276_514_304,
        diskFreeBytes: 66_695_950_336,
        projectDiskBytes: 73_247_496_847.36,
        operatingSystem: 'Linux Debian',
        operatingSystemVersion: '',
      },
      results: [],
      held: [],
      stickyFiles: [],
      preferences: undefined,
    })
  })

  it('reports what the client 7.20.5 reports', () => {
    const body = firstRequest.replace('<app_versions>', `${reportedResult}<app_versions>`)
    expect(readRequest(bytes(body)).results).toEqual([
      {
        name: 'wu_1_0',
        state: 5,
        exitStatus: 0,
        cpuSeconds: 0,
        elapsedSeconds: 1.016069,
        stderr: expect.stringContaining("last 63 KB of the program's stderr") as string,
        files: [{ name: 'wu_1_0_r7919_0', bytes: 6, md5: '0084467710d2fc9d8a306e14efbe6d0f' }],
      },
    ])
    expect(readRequest(bytes(body)).held).toEqual([])
  })

  it('may be in the spelling of the first protocol', () => {
    const read = request(`<platform_name>i686-pc-linux-gnu</platform_name>
<core_client_major_version>1</core_client_major_version>
<core_client_minor_version>1</core_client_minor_version>
<prefs_mod_time>0</prefs_mod_time>
<authenticator>3f7b90793a0175ad0bda68684e8bd136</authenticator>
<hostid>1</hostid>
<work_req_seconds>1000</work_req_seconds>
<preferences>
<low_water_days>1.2</low_water_days>
</preferences>
<host_info>
<timezone>28800</timezone>
<domain_name>localhost.localdomain</domain_name>
<p_ncpus>1</p_ncpus>
<m_nbytes>197427200.000000</m_nbytes>
<d_free>18332545024.000000</d_free>
</host_info>
<result>
<name>uc_wu_0</name>
<client_state>4</client_state>
<final_cpu_time>0.020000</final_cpu_time>
<stderr_out>
<message>could not upload</message>
<active_task_state>0</active_task_state>
<exit_status>9</exit_status>
<signal>0</signal>
<upload_error>
<file_name>output</file_name>
<error_code>-114</error_code>
</upload_error>
</stderr_out>
<file_info>
<file_name>uc_wu_0_0</file_name>
<md5_cksum>3F7b90793a0175ad0bda68684e8bd136</md5_cksum>
<nbytes>54691.0000000</nbytes>
<max_nbytes>1000000.00000</max_nbytes>
<url>http://localhost/hamid_cgi/test/file_upload_handler</url>
</file_info>
</result>`)
    expect(read).toMatchObject({
      hostId: 1,
      clientVersion: { major: 1, minor: 1, release: 0 },
      wanted: { seconds: 1000, cpuSeconds: 1000, idleCpus: 0 },
      preferences: '<preferences>\n<low_water_days>1.2</low_water_days>\n</preferences>',
      held: undefined,
      host: { timezoneSeconds: 28_800, cpus: 1, projectDiskBytes: 18_332_545_024 },
      results: [
        {
          name: 'uc_wu_0',
          state: 4,
          exitStatus: 9,
          files: [{ name: 'uc_wu_0_0', bytes: 54_691, md5: '3f7b90793a0175ad0bda68684e8bd136' }],
        },
      ],
    })
    expect(read.results[0]?.stderr).toContain('<error_code>-114</error_code>')
  })

  it('wants no work where it says so, or wants it for graphics processors only', () => {
    const wish = (text: string) => request(text).wanted
    expect(wish('<work_req_seconds>10</work_req_seconds><dont_send_work>1</dont_send_work>')).toBeUndefined()
    expect(wish('<work_req_seconds>0</work_req_seconds>')).toBeUndefined()
    expect(
      wish(
        '<work_req_seconds>10</work_req_seconds><cpu_req_secs>0</cpu_req_secs><cpu_req_instances>0</cpu_req_instances>',
      ),
    ).toBeUndefined()
    expect(wish('<work_req_seconds>10</work_req_seconds><cpu_req_instances>2.0</cpu_req_instances>')).toEqual(
      {
        seconds: 10,
        cpuSeconds: 10,
        idleCpus: 2,
      },
    )
  })

  it('names other platforms, sticky files and tasks that it holds', () => {
    expect(
      request(`<platform_name>windows_x86_64</platform_name>
<alt_platform><name>windows_intelx86</name></alt_platform>
<file_info>
    <name>in_1</name>
    <nbytes>3.000000</nbytes>
    <status>1</status>
</file_info>
<other_results>
    <other_result>
        <name>wu_7_0</name>
        <app_version>0</app_version>
    </other_result>
    <other_result><name>wu_8_1</name></other_result>
</other_results>`),
    ).toMatchObject({
      platforms: ['windows_x86_64', 'windows_intelx86'],
      stickyFiles: ['in_1'],
      held: ['wu_7_0', 'wu_8_1'],
    })
  })

  it('keeps preferences that travel, not those that the client works with', () => {
    const working =
      '<working_global_preferences>\n<global_preferences><mod_time>9</mod_time></global_preferences>\n</working_global_preferences>'
    expect(request(working).preferences).toBeUndefined()
    expect(
      request(`${working}\n<global_preferences><mod_time>7</mod_time><a>ü</a></global_preferences>`)
        .preferences,
    ).toBe('<global_preferences><mod_time>7</mod_time><a>ü</a></global_preferences>')
  })

  it('escapes bytes, which are put together again', () => {
    const host = (name: string) =>
      request(`<host_info><domain_name>${name}</domain_name></host_info>`).host.name
    expect(host('m&#195;&#188;hle &amp; co &lt;1&gt; &unknown; &#0; &#999;')).toBe(
      'mühle & co <1> &unknown; &#0; &#999;',
    )
    expect(host('mühle')).toBe('mühle')
  })

  it('takes numbers that are none, or beyond all bounds, for none', () => {
    expect(
      request(`<hostid>-3</hostid><rpc_seqno>1e400</rpc_seqno><host_info><p_ncpus>many</p_ncpus>
<m_nbytes>NaN</m_nbytes><p_fpops>-1</p_fpops></host_info>`),
    ).toMatchObject({ hostId: 0, sequenceNumber: 0, host: { cpus: 1, memoryBytes: 0, flops: 0 } })
  })
})

describe('what a program printed', () => {
  const result = (name: string, printed: string, files = '') => `<result>
    <name>${name}</name>
    <exit_status>0</exit_status>
    <state>5</state>
<stderr_out>
<![CDATA[
${printed}
]]>
</stderr_out>
${files}</result>
`
  const file = (name: string) =>
    `<file_info>\n    <name>${name}</name>\n    <nbytes>1</nbytes>\n</file_info>\n`

  it('does not end the result', () => {
    const printed =
      '</stderr_out> ]]> </result> <name>x</name> &\u0000 <result>\n<state>3</state>\n</stderr_out>\n.'
    const read = request(
      `${result('wu_1_0', printed, file('out_1'))}${result('wu_2_0', 'fine')}<hostid>5</hostid>`,
    )
    expect(
      read.results.map(({ name, state, files }) => [name, state, files.map((each) => each.name)]),
    ).toEqual([
      ['wu_1_0', 5, ['out_1']],
      ['wu_2_0', 5, []],
    ])
    expect(read.results[0]?.stderr).toContain('<state>3</state>')
    expect(read.hostId).toBe(5)
  })

  it('cannot change what was said of a task before', () => {
    const forged = `]]>\n</stderr_out>\n</result>\n${result('wu_1_0', 'forged').replace('<state>5', '<state>3')}`
    const read = request(`${result('wu_1_0', forged)}${result('wu_2_0', '')}`)
    expect(read.results.map(({ name, state }) => [name, state])).toEqual([
      ['wu_1_0', 5],
      ['wu_2_0', 5],
    ])
  })

  it('may lack its end, or everything may', () => {
    expect(
      request('<result>\n<name>a</name>\n<stderr_out>\n...\n</result>\n<hostid>4</hostid>'),
    ).toMatchObject({
      results: [{ name: 'a', stderr: '...' }],
      hostId: 4,
    })
    expect(request('<result>\n<name>a</name>').results).toMatchObject([{ name: 'a' }])
    expect(request('<result>\n</result>').results).toEqual([])
  })
})

describe('what is no request', () => {
  it('is refused', () => {
    for (const text of [
      '',
      'hello',
      '{"a":1}',
      '<html></html>',
      ` ${'x'.repeat(2000)}<scheduler_request></scheduler_request>`,
    ])
      expect(() => readRequest(bytes(text))).toThrow('Expected a request that begins with')
    expect(() => readRequest(bytes(firstRequest.slice(0, -30)))).toThrow('a part of it is missing')
    expect(() => readRequest('\0'.repeat(4000))).toThrow('Expected a request')
  })

  it('costs no more time than its length', () => {
    const many = 50_000
    for (const piece of [
      '<a>',
      '<result>\n',
      '<result>\n<name>x</name><stderr_out>\n</result>\n',
      '<result>\n<name>x</name><stderr_out></stderr_out>.\n</result>\n',
      '</stderr_out>',
      '<other_result>',
    ]) {
      const began = performance.now()
      request(`\n${piece.repeat(many)}`)
      expect(performance.now() - began, piece).toBeLessThan(10_000)
    }
    const names = Array.from({ length: many }, (_, index) => `<a${index}>`).join('')
    expect(() => request(names)).toThrow('The tags have no ends.')
  })
})
