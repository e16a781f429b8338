import { createCipheriv } from 'node:crypto'
import { openAsBlob } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { measureCommand, type Cost, type Workload } from './measure.ts'
import type { BenchServer } from './server.ts'

const files = 2200
const fileBytes = 300_000
const script = `
  import { functionTask } from 'molehill'
  export default functionTask('nothing', { run: () => ({}) })
`

/** A large work directory on its way in: received, checked and unpacked. */
export async function upload(server: BenchServer, directory: string): Promise<Workload> {
  const archive = await makeArchive(directory)
  const blob = await openAsBlob(archive)
  return {
    title: `upload of a tar.gz of ${Math.round(blob.size / 1e6)} MB (${files} files, ${(files * fileBytes) / 1e6} MB)`,
    unit: 'upload',
    count: 1,
    hasStart: false,
    yardstick: 'tar xzf',
    contenders: [
      { name: 'molehill', run: async () => runMolehill(server, blob) },
      { name: 'tar xzf', run: async () => runTar(archive, join(directory, 'unpacked')) },
    ],
  }
}

async function runMolehill(server: BenchServer, archive: Blob): Promise<Cost> {
  const { molehill, dataDirectory } = server
  let id = ''
  const cost = await server.measure(async () => {
    id = await molehill.start(archive)
  })
  await molehill.awaitEnd(id)
  await checkFiles(join(dataDirectory, 'executions', id, 'work'))
  await molehill.remove(id)
  return cost
}

async function runTar(archive: string, target: string): Promise<Cost> {
  await mkdir(target)
  const { cost } = await measureCommand(['tar', 'xzf', archive, '-C', target], target)
  await checkFiles(target)
  await rm(target, { recursive: true })
  return cost
}

async function checkFiles(directory: string): Promise<void> {
  const { length } = await readdir(join(directory, 'data'))
  if (length !== files) throw new Error(`Expected ${files} unpacked files, got ${length}.`)
}

/** The same bytes in every run; base64 of noise, which gzip makes a quarter shorter. */
async function makeArchive(directory: string): Promise<string> {
  const source = join(directory, 'source')
  await mkdir(join(source, 'data'), { recursive: true })
  await writeFile(join(source, 'workflow.ts'), script)
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const zeros = Buffer.alloc((fileBytes / 4) * 3)
  for (let file = 0; file < files; file += 1)
    await writeFile(join(source, 'data', `${file}.txt`), noise.update(zeros).toString('base64'))
  const archive = join(directory, 'work.tgz')
  await measureCommand(['tar', 'czf', archive, '-C', source, 'workflow.ts', 'data'], directory)
  await rm(source, { recursive: true })
  return archive
}
