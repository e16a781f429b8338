import { spawn } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../conformance/until.ts'
import { startCaesarServer, type CaesarServer } from '../helpers/caesar-server.ts'
import { fitsOfMadeSources, madeSources, whyNoSourceFinder } from '../helpers/fits.ts'

const page = join(import.meta.dirname, '../../docs/dialects/caesar.md')
const longMs = 120_000
const why = whyNoSourceFinder()

interface Block {
  /** What stands behind the opening of the block: `sh`, `json answer=upload`. */
  readonly kind: string
  readonly content: string
}

let server: CaesarServer
let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-page-'))
  server = await startCaesarServer({ http: false })
  await writeFile(join(directory, 'VGPS_cont_MOS017.fits'), fitsOfMadeSources())
  await copyFile(join(server.dataDirectory, 'tls/cert.pem'), join(directory, 'cert.pem'))
}, longMs)
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

/** Runs lines as they stand on the page. Curl is told which certificate to trust, as the page says. */
async function runLines(lines: string, variables: Readonly<Record<string, string>>): Promise<string> {
  const own = `curl() { command curl --silent --show-error --cacert cert.pem "$@"; }\n`
  const shell = spawn('bash', ['-euc', own + lines], {
    cwd: directory,
    env: { ...process.env, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise((resolve) => shell.once('close', resolve))
  const [out, errors, code] = await Promise.all([text(shell.stdout), text(shell.stderr), ended])
  expect([code, errors], lines).toEqual([0, ''])
  return out
}

async function readBlocks(): Promise<readonly Block[]> {
  const markdown = await readFile(page, 'utf8')
  return [...markdown.matchAll(/^```([^\n]*)\n([^]*?)^```/gm)].map(([, kind = '', content = '']) => ({
    kind,
    content,
  }))
}

function readJson(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(text) as Record<string, unknown>
}

describe.skipIf(why !== undefined)(
  `the page about clients of caesar-rest${why === undefined ? '' : ` (skipped: ${why})`}`,
  { timeout: longMs },
  () => {
    test('shows lines that do what it says, and answers that look like those that come', async () => {
      const blocks = await readBlocks()
      const shells = blocks.filter(({ kind }) => kind.startsWith('sh'))
      expect(shells[0]?.kind).toBe('sh settings')
      const variables: Record<string, string> = { SERVER: server.address, KEY: server.key }
      const answers = new Map<string, Readonly<Record<string, unknown>>>()
      for (const { kind, content } of shells.slice(1)) {
        if (kind === 'sh poll') {
          let last = ''
          const ended = await until(
            'the job has ended',
            async () => {
              last = await runLines(content, variables)
              const status = readJson(last)
              return ['PENDING', 'RUNNING'].includes(String(status['state'])) ? undefined : status
            },
            () => last,
            90_000,
          )
          answers.set('status', ended)
          continue
        }
        const out = await runLines(content, variables)
        if (content.includes('/upload"')) {
          answers.set('upload', readJson(out))
          variables['UUID'] = String(readJson(out)['uuid'])
        }
        if (content.includes('"$SERVER/job"')) {
          answers.set('job', readJson(out))
          variables['JOB'] = String(readJson(out)['job_id'])
        }
        if (content.includes('/apps')) expect(out).toContain('"source-finder"')
        if (content.includes('/fileids')) expect(out).toContain(variables['UUID'])
        if (content.includes('/cancel')) expect(out).toContain('already completed with state SUCCESS')
      }
      for (const { kind, content } of blocks) {
        const name = /^json answer=(\w+)$/.exec(kind)?.[1]
        if (name === undefined) continue
        const [shown, came] = [readJson(content), answers.get(name) ?? {}]
        expect(Object.keys(came).sort(), name).toEqual(Object.keys(shown).sort())
        for (const [key, value] of Object.entries(shown)) expect(typeof came[key], key).toBe(typeof value)
      }
      expect(answers.get('status')).toMatchObject({ state: 'SUCCESS', exit_code: 0 })
      expect((await readFile(join(directory, 'data.fits'))).equals(fitsOfMadeSources())).toBe(true)
      const { sources } = readJson(await readFile(join(directory, 'sources.json'), 'utf8'))
      expect(sources).toHaveLength(madeSources.length)
      expect(await runLines('tar -tzf job_output.tar.gz', {})).toContain(
        `job_${variables['JOB']}/catalog.json`,
      )
    })

    test('names every route that there is', async () => {
      const markdown = await readFile(page, 'utf8')
      const described = readJson(await runLines(`curl --url "${server.server.url}/openapi.json"`, {}))
      const paths = Object.keys(described['paths'] as object).filter((path) => path.startsWith('/caesar/'))
      expect(paths.length).toBeGreaterThan(15)
      for (const path of paths) {
        const own = path
          .replace('/caesar/api/v1.0', '')
          .replace('{uuid}', 'UUID')
          .replace('{id}', 'ID')
          .replace('{name}', 'NAME')
        expect(markdown, own).toContain(own.replace(/^\/job\/ID(\/output-components)$/, '$1'))
      }
    })
  },
)
