import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRestClient, type RestClient } from '../helpers/rest-client.ts'
import { password, startTestServer, type TestServer } from '../helpers/running-server.ts'
import { tarGzip } from '../helpers/tar.ts'

const isRoot = process.geteuid?.() === 0
const secret = 'only the server may read this'

/** Functions and commands in boxes put links where the server, outside of the box, reads and writes. */
const users: readonly { readonly who: string; readonly flags: Readonly<Record<string, unknown>> }[] = [
  { who: 'the user of the server', flags: {} },
  ...(isRoot ? [{ who: 'another user', flags: { taskUser: 'nobody' } }] : []),
]

describe.each(users)('links of tasks that run as $who lead the server nowhere:', ({ flags }) => {
  let server: TestServer
  let client: RestClient
  let token: string
  /** Outside of all boxes. */
  let outside: string

  beforeAll(async () => {
    server = await startTestServer({ isolation: 'required', slots: '2', ...flags })
    client = await createRestClient(server)
    token = await client.requestToken(password)
  }, 60_000)

  beforeEach(async () => {
    outside = await mkdtemp(join(tmpdir(), 'molehill-links-'))
    await writeFile(join(outside, 'secret'), secret, { mode: 0o600 })
    await mkdir(join(outside, 'empty'))
    await chmod(join(outside, 'empty'), 0o777)
    await chmod(outside, 0o755)
    return () => rm(outside, { recursive: true, force: true })
  })

  afterAll(() => server[Symbol.asyncDispose]())

  /** A function that makes links, given as JavaScript, and \`then\` what follows it. */
  async function run(links: string, then: string) {
    const script = `
      import { commandTask, copyFile, csv, file, functionTask, integer, keepFile, placeFile, shell } from 'molehill'
      import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
      const one = integer('one'), made = file('made'), out = file('out')
      const outside = ${JSON.stringify(outside)}
      const links = functionTask('links', { outputs: [one, made], run: (_, job) => {
        const given = { one: 1, made: job.directory + '/made.txt' }
        writeFileSync(given.made, 'made')
        ${links}
        return given
      } })
      ${then}`
    const id = await client.start(
      token,
      'workflow.ts',
      tarGzip([
        { name: 'workflow.ts', content: script },
        { name: 'data.txt', content: 'data' },
      ]),
    )
    const { state, error } = await client.awaitEnd(token, id)
    const output = await client.output(token, id)
    const work = join(server.dataDirectory, 'executions', id, 'work')
    return { state, said: JSON.stringify(error ?? null), output, work }
  }

  async function expectUntouched(): Promise<void> {
    expect((await readdir(outside)).toSorted()).toEqual(['empty', 'secret'])
    expect(await readdir(join(outside, 'empty'))).toEqual([])
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe(secret)
  }

  it('rows of a hook are not written through one', async () => {
    const { state, said } = await run(
      "symlinkSync(outside + '/secret', 'rows.csv'); symlinkSync(outside + '/empty', 'out')",
      "export default links.hook(csv('rows.csv', { values: [one] }), csv('out/rows.csv', { values: [one] }))",
    )
    expect(state).toBe('failed')
    expect(said).toMatch(/A hook cannot write/)
    await expectUntouched()
  })

  it('a copy of a hook is not written through one, nor into a directory elsewhere', async () => {
    const { state, said, work } = await run(
      `symlinkSync(outside + '/new', 'one.txt.partial'); symlinkSync(outside + '/secret', 'one.txt')
       symlinkSync(outside + '/empty', 'out')`,
      "export default links.hook(copyFile(made, 'one.txt'), copyFile(made, 'out/two.txt'))",
    )
    expect(state).toBe('failed')
    expect(said).toMatch(/leads out of the work directory/)
    expect(await readFile(join(work, 'one.txt'), 'utf8')).toBe('made')
    await expectUntouched()
  })

  it('links that stay inside are followed', async () => {
    const { state, work } = await run(
      "mkdirSync('results'); symlinkSync('results', 'out')",
      "export default links.hook(csv('out/deep/rows.csv', { values: [one] }))",
    )
    expect(state).toBe('finished')
    expect(await readFile(join(work, 'results/deep/rows.csv'), 'utf8')).toBe('one\n1\n')
  })

  it('a copy of a hook does not read through one', async () => {
    const { state, work } = await run(
      "rmSync(given.made); symlinkSync(outside + '/secret', given.made)",
      "export default links.hook(copyFile(made, 'one.txt'))",
    )
    expect(state).toBe('failed')
    expect(existsSync(join(work, 'one.txt'))).toBe(false)
  })

  it('a file that is kept does not go where one leads', async () => {
    const { state } = await run(
      "for (const id of [1, 2, 3, 4, 5, 6]) try { symlinkSync(outside + '/empty', job.directory + '/../' + id) } catch {}",
      `const keep = commandTask('keep', { inputs: [one], command: shell\`echo x > kept\`, outputs: [keepFile(out, 'kept')] })
       export default links.next(keep)`,
    )
    expect(state).toBe('failed')
    await expectUntouched()
  })

  it('a command does not see what the file of a function leads to', async () => {
    const { state, output } = await run(
      "rmSync(given.made); symlinkSync(outside + '/secret', given.made)",
      "export default links.next(commandTask('read', { inputs: [made], command: shell`cat ${made}` }))",
    )
    expect(state).toBe('failed')
    expect(output).not.toContain(secret)
  })

  it('a command does not see what the way to a file leads to, also where it changes its own copy', async () => {
    const { output } = await run(
      "mkdirSync('in'); writeFileSync('in/secret', 'x'); given.made = process.cwd() + '/in/secret'; rmSync('in', { recursive: true }); symlinkSync(outside, 'in')",
      `const read = commandTask('read', { inputs: [placeFile(made, 'secret')], command: shell\`cat secret\`, outputs: [keepFile(out, 'secret')] })
       export default links.next(read)`,
    )
    expect(output).not.toContain(secret)
  })

  it('outputs of a command are not collected through one', async () => {
    const { state, said } = await run(
      '',
      `const two = commandTask('two', { inputs: [one], command: ['ln', '-s', outside + '/secret', 'kept'], outputs: [keepFile(out, 'kept')] })
       export default links.next(two)`,
    )
    expect(state).toBe('failed')
    expect(said).toMatch(/did not make kept/)
  })
})
