import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockDataDirectory } from './data-directory-lock.ts'

const now = () => Date.UTC(2026, 0, 1)
const children: ChildProcess[] = []
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-lock-'))
})

afterEach(async () => {
  await Promise.all(children.splice(0).map(kill))
  await rm(directory, { recursive: true, force: true })
})

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** Another process that tries to take the lock, says `held` or why not, and then stays. */
async function startHolder(): Promise<{ child: ChildProcess; said: string }> {
  const program = `
    import { lockDataDirectory } from ${JSON.stringify(new URL('data-directory-lock.ts', import.meta.url).href)}
    try {
      globalThis.lock = lockDataDirectory(${JSON.stringify(directory)}, Date.now)
      console.log('held')
    } catch (error) {
      console.log(error.message)
    }
    setInterval(() => {}, 1e6)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  for await (const said of createInterface({ input: child.stdout })) return { child, said }
  throw new Error('the other process ended without a word')
}

test('a second server is refused with the pid of the first, which may be killed at any time', async () => {
  const first = await startHolder()
  expect(first.said).toBe('held')
  expect(() => lockDataDirectory(directory, now)).toThrow(`in use by process ${first.child.pid}, since 20`)
  expect((await startHolder()).said).toContain(`in use by process ${first.child.pid},`)

  await kill(first.child)
  expect(existsSync(join(directory, 'lock.json'))).toBe(true)
  const lock = lockDataDirectory(directory, now)
  expect((await startHolder()).said).toContain(`in use by process ${process.pid}, since 2026-01-01`)
  lock.release()
})

test('of several that start at once exactly one wins', async () => {
  const said = (await Promise.all(Array.from({ length: 6 }, startHolder))).map((holder) => holder.said)
  expect(said.filter((each) => each === 'held')).toHaveLength(1)
  expect(said.filter((each) => each.includes('in use by'))).toHaveLength(5)
})

test('one process cannot take it twice either, and a refusal does not loosen the lock', async () => {
  const lock = lockDataDirectory(directory, now)
  expect(() => lockDataDirectory(directory, now)).toThrow(`in use by process ${process.pid}`)
  expect((await startHolder()).said).toContain('in use by')
  lock.release()
  lock.release()
  expect(existsSync(join(directory, 'lock.json'))).toBe(false)
  using again = lockDataDirectory(directory, now)
  expect(again).toBeDefined()
})

test('a holder that has not said who it is yet is told as such', async () => {
  const lock = lockDataDirectory(directory, now)
  await writeFile(join(directory, 'lock.json'), '')
  expect(() => lockDataDirectory(directory, now)).toThrow('in use by another process.')
  lock.release()
})

test('a damaged lock file is told as such', async () => {
  await writeFile(join(directory, 'lock.db'), 'this is no database at all, not even a short one'.repeat(50))
  expect(() => lockDataDirectory(directory, now)).toThrow(/cannot be locked: .*lock\.db.*not a database/)
})
