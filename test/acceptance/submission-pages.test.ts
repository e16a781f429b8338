import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { excitingInput, writeExcitingProgram } from '../helpers/exciting-program.ts'
import { password } from '../helpers/running-server.ts'
import { startServerWithUsers, type ServerWithUsers } from '../helpers/server-with-users.ts'
import { tarGzip } from '../helpers/tar.ts'
import { installWorkflow } from '../helpers/uppercase-app.ts'

const longMs = 120_000
const run = promisify(execFile)

/** The app of the page, whole: its lines stand there without the imports. */
const imports = `import { commandTask, copyFile, file, input, keepFile, output, shell, string } from 'molehill'\n`

let directory: string
let running: ServerWithUsers
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mh-pages-'))
  await chmod(directory, 0o755)
  running = await startServerWithUsers(
    { ann: { submitter: true } },
    { excitingProgram: await writeExcitingProgram(directory), taskPaths: directory },
  )
}, longMs)
afterAll(async () => {
  await running[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** Code of a page with what stands behind its opening. */
async function readBlocks(
  page: string,
): Promise<readonly { readonly kind: string; readonly content: string }[]> {
  const markdown = await readFile(join(import.meta.dirname, '../../docs/dialects', page), 'utf8')
  return [...markdown.matchAll(/^```([^\n]*)\n([^]*?)^```/gm)].map(([, kind = '', content = '']) => ({
    kind,
    content,
  }))
}

/** Runs lines as they stand on the page. */
async function runLines(lines: string, variables: Readonly<Record<string, string>>): Promise<string> {
  const quiet = 'curl() { command curl --silent --show-error "$@"; }\n'
  const { stdout, stderr } = await run('bash', ['-euc', quiet + lines], {
    cwd: directory,
    env: { ...process.env, ...variables },
  })
  expect(stderr, lines).toBe('')
  return stdout
}

test('the lines of the page about BOINC do what it says', { timeout: longMs }, async () => {
  const blocks = await readBlocks('boinc.md')
  const [app = ''] = blocks.filter(({ kind }) => kind === 'ts').map(({ content }) => content)
  const script = imports + app.replace('model --t ${t}', 'echo ${t}')
  expect(script).toContain('echo')
  await installWorkflow(
    running.url,
    password,
    'myappname',
    tarGzip([{ name: 'workflow.ts', content: script }]),
  )
  const variables: Record<string, string> = {
    PROJECT_URL: `${running.url}/boinc`,
    KEY: running.keys['ann'] ?? '',
  }
  const answers: string[] = []
  for (const { kind, content } of blocks.filter((block) => /^sh( id)?$/.test(block.kind))) {
    const answer = await runLines(content, variables)
    answers.push(answer)
    if (kind === 'sh id') variables['ID'] = /<batch_id>(\d+)<\/batch_id>/.exec(answer)?.[1] ?? ''
  }
  const expected = [
    /<estimate><seconds>[\d.]+<\/seconds><\/estimate>/,
    /<batch_id>\d+<\/batch_id>/,
    /<batch_status>[^]*<job_status>/,
    /<aborted\/>/,
    /<query_batch><id>\d+<\/id>[^]*<status>/,
  ]
  expect(answers).toHaveLength(expected.length)
  for (const [index, answer] of answers.entries()) expect(answer).toMatch(expected[index] ?? /never/)
})

test('the lines of the page about exciting@web do what it says', { timeout: longMs }, async () => {
  await writeFile(join(directory, 'input.xml'), excitingInput('of the page'))
  const variables = { SERVER: `${running.url}/exciting`, KEY: running.keys['ann'] ?? '' }
  const blocks = (await readBlocks('exciting.md')).filter(({ kind }) => kind === 'sh' || kind === 'sh poll')
  const answers: string[] = []
  for (const { kind, content } of blocks) {
    if (kind === 'sh') {
      answers.push(await runLines(content, variables))
      continue
    }
    let last = ''
    const ended = await until(
      'the calculation has ended',
      async () => {
        last = await runLines(content, variables)
        return /<state>(queued|running)</.test(last) ? undefined : last
      },
      () => last,
      longMs,
    )
    answers.push(ended)
  }
  const [posted, status, results, deleted] = answers
  expect(posted).toBe('POST OK')
  expect(status).toContain('<state>finished</state><detail>exit code 0, 3 iterations</detail>')
  for (const part of ['<info ', 'calculated of the page', '<geometry units="au"/>'])
    expect(results).toContain(part)
  expect(deleted).toContain('<result code="0"/>')
})
