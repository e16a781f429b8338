import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeFileDurably } from '../../src/files/durable-file.ts'
import { openPreferences } from '../../src/store/preferences.ts'
import type { UserSettings } from '../../src/users/contract.ts'
import { createUsers } from '../../src/users/users.ts'
import { createCaesarClient, type CaesarClient } from './caesar-client.ts'
import { password, startTestServer, type TestServer } from './running-server.ts'

/** An app that does what its options say: one of each kind. */
export const probeApp = `
import { commandTask, copyFile, file, keepFile, boolean, input, integer, number, output, shell, string } from 'molehill'
const image = file('image'), mask = file('mask', { default: 'workflow.ts' })
const ending = string('ending', { default: 'good' }), label = string('label', { default: 'plain' })
const count = integer('count', { default: 2 }), level = number('level', { default: 0.5 })
const json = file('json'), result = file('result'), told = file('told')
const loud = boolean('loud', { default: false })
const probe = commandTask('probe', {
  command: shell\`
    echo "out of the job"; echo "err of the job" >&2
    printf '%s' \${label} > label.txt
    case \${ending} in
      slow) sleep 60;;
      bad) exit 7;;
      where) echo "$WHERE" > result.json; printf '[]' > catalog-1.json; exit 0;;
    esac
    wc -c < \${image} > size.txt
    printf '[{"name":"A"}]' > catalog-1.json
    printf '{"size":%s,"mask":%s,"count":%s,"level":%s,"loud":"%s"}' \\
      "$(wc -c < \${image})" "$(wc -c < \${mask})" \${count} \${level} \${loud} > result.json\`,
  outputs: [keepFile(json, 'catalog-1.json'), keepFile(result, 'result.json'), keepFile(told, 'label.txt')],
})
export default probe.hook(copyFile(json, 'catalog-1.json'), copyFile(result, 'result.json'), copyFile(told, 'label.txt'))
  .describe({
    title: 'Probe',
    description: 'Does what it is told.',
    category: 'tests',
    inputs: [
      input(image, { title: 'Picture', formats: ['fits', 'png'] }),
      input(mask, { title: 'Mask' }),
      input(ending, { title: 'How it ends', values: ['good', 'bad', 'slow', 'where'], category: 'RUN/END' }),
      input(label, { title: 'Label', advanced: true }),
      input(count, { title: 'Count', minimum: 1, maximum: 10 }),
      input(level, { title: 'Level', minimum: 0, maximum: 1 }),
      input(loud, { title: 'Loud' }),
    ],
    outputs: [output('catalog-*.json', { role: 'sources' }), output('result.json', { role: 'preview' })],
  })
`

export interface CaesarServer extends AsyncDisposable {
  readonly server: TestServer
  readonly address: string
  readonly dataDirectory: string
  readonly ann: CaesarClient
  readonly bob: CaesarClient
  /** Logs in with the password. */
  readonly operator: () => Promise<CaesarClient>
  /** Nobody's: without a token. */
  readonly stranger: CaesarClient
  /** Ann's key. */
  readonly key: string
  /** A token of the operator. */
  readonly login: () => Promise<string>
  /** Stops the server and starts one on the same data directory. `meanwhile` is done in between. */
  restart(meanwhile?: () => Promise<void>): Promise<void>
  /** Removes a user, and adds one of the same name without what belonged to the first. Only while the server is stopped. */
  replaceUser(name: 'ann'): Promise<void>
}

/** A server with two users of these settings, and the app `probe` beside those that ship. */
export async function startCaesarServer(
  flags: Readonly<Record<string, unknown>> = {},
  settings: UserSettings = {},
): Promise<CaesarServer> {
  const directory = await mkdtemp(join(tmpdir(), 'molehill-caesar-'))
  const dataDirectory = join(directory, 'data')
  const entry = join(dataDirectory, 'catalog', 'probe')
  await mkdir(dataDirectory, { mode: 0o700 })
  await mkdir(entry, { recursive: true, mode: 0o700 })
  await writeFile(join(entry, 'workflow.ts'), probeApp)
  const openUsers = async () =>
    createUsers(await openPreferences(join(dataDirectory, 'preferences.json'), writeFileDurably), Date.now)
  const keys: Record<string, string> = {}
  const addUser = async (name: string) => {
    const users = await openUsers()
    await users.add(name, settings)
    keys[name] = (await users.addKey(name)).key
  }
  await addUser('ann')
  await addUser('bob')
  const start = async () => startTestServer({ http: true, requestRate: '0', dataDirectory, ...flags })
  const current = { server: await start() }
  const address = () => `${current.server.url}/caesar/api/v1.0`
  const login = async () => {
    const answer = await fetch(`${current.server.url}/token`, {
      method: 'POST',
      body: new URLSearchParams({ password }),
    })
    return ((await answer.json()) as { token: string }).token
  }
  return {
    get server() {
      return current.server
    },
    get address() {
      return address()
    },
    dataDirectory,
    get key() {
      return keys['ann'] ?? ''
    },
    get ann() {
      return createCaesarClient(address(), keys['ann'])
    },
    get bob() {
      return createCaesarClient(address(), keys['bob'])
    },
    operator: async () => createCaesarClient(address(), await login()),
    get stranger() {
      return createCaesarClient(address(), undefined)
    },
    login,
    async restart(meanwhile = async () => undefined) {
      await current.server[Symbol.asyncDispose]()
      await meanwhile()
      current.server = await start()
    },
    async replaceUser(name) {
      await (await openUsers()).remove(name)
      await addUser(name)
    },
    async [Symbol.asyncDispose]() {
      await current.server[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
