import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../../../test/conformance/until.ts'
import { describeWith } from '../../../test/daemons/present.ts'
import { startSshd, type Sshd } from '../../../test/daemons/sshd.ts'
import type { SshServer, SshServerOptions } from '../../../test/daemons/ssh-server.ts'
import { EnvironmentError } from '../environment.ts'
import type { Host } from '../host.ts'
import { pickSshOptions, type SshOptions } from './options.ts'
import { SshHosts } from './ssh-hosts.ts'

const noSignal = new AbortController().signal
const opened: { close(): Promise<void> }[] = []
let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'molehill-test-ssh-'))
  writeFileSync(join(directory, 'config'), '')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const each of opened.splice(0)) await each.close()
  rmSync(directory, { recursive: true, force: true })
})

function optionsFor(server: SshServer, more: Partial<SshOptions> = {}): SshOptions {
  const { host, user, port, identityFile, knownHostsFile } = server
  return pickSshOptions({
    host,
    user,
    port,
    identityFile,
    knownHostsFile,
    configFile: join(directory, 'config'),
    keepAliveMs: 1000,
    ...more,
  })
}

function open(options: SshOptions): Host {
  const host = new SshHosts({ variables: process.env, now: Date.now, random: Math.random }).open(
    options,
    false,
  )
  opened.push(host)
  return host
}

async function start(options: SshServerOptions = {}): Promise<Sshd> {
  const server = await startSshd(options)
  opened.push({ close: () => server.stop() })
  return server
}

const say = async (host: Host, script: string, ...words: string[]) =>
  host.run({ argv: ['bash', '-c', script, 'bash', ...words] }, noSignal)

describeWith('sshd', 'a host behind SSH', () => {
  test('runs programs: output, error stream, exit code, variables, input', async () => {
    const server = await start()
    const host = open(optionsFor(server))
    expect(host.name).toBe(`${server.user}@127.0.0.1:${server.port}`)
    expect(await say(host, 'echo out; echo err >&2; exit 7')).toEqual({
      exitCode: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    const variables = { WORD: 'a b\nc' }
    const result = await host.run(
      { argv: ['sh', '-c', 'echo "$WORD"; cat'], variables, input: 'in\n' },
      noSignal,
    )
    expect(result).toMatchObject({ exitCode: 0, stdout: 'a b\nc\nin\n' })
    expect(await host.run({ argv: ['no-such-program'] }, noSignal)).toMatchObject({ exitCode: 127 })
    expect(await say(host, 'kill -KILL $$')).toMatchObject({ exitCode: 137 })
    expect(await say(host, 'echo still here')).toMatchObject({ exitCode: 0, stdout: 'still here\n' })
  })

  test('passes 10,000 awkward words in one go, byte for byte', async () => {
    const server = await start({ greeting: 'Welcome!', locale: 'xx_XX.UTF-8' })
    const host = open(optionsFor(server))
    const signs = Array.from('\n\t\r\'"\\$`!*?[]{}()<>|&;#~%^ =-äß漢😀\x01\x7f').concat(
      'M',
      '0',
      '\\n',
      '$(id)',
      "$'",
    )
    const words = Array.from({ length: 10_000 }, (_, index) =>
      Array.from(randomBytes(1 + (index % 12)), (byte) => signs[byte % signs.length]).join(''),
    )
    const { stdout } = await host.run({ argv: ['printf', '%s\\0', ...words] }, noSignal)
    expect(stdout.split('\0').slice(0, -1)).toEqual(words)
    // The same through a line for a shell that takes many commands.
    const some = words.slice(0, 500)
    const { stdout: short } = await host.run({ argv: ['printf', '%s\\0', ...some] }, noSignal)
    expect(short.split('\0').slice(0, -1)).toEqual(some)
  })

  test('streams bytes in and out, in spite of a greeting', async () => {
    const server = await start({ greeting: 'Welcome to the cluster', locale: 'xx_XX.UTF-8' })
    const host = open(optionsFor(server))
    const bytes = randomBytes(3_000_000)
    const output = new PassThrough()
    const parts: Buffer[] = []
    output.on('data', (part: Buffer) => parts.push(part))
    const input = Readable.from([bytes.subarray(0, 1_000_000), bytes.subarray(1_000_000)])
    const { exitCode, stderr } = await host.run(
      { argv: ['sh', '-c', 'cat; echo done >&2; exit 3'], input, output },
      noSignal,
    )
    expect({ exitCode, stderr }).toEqual({ exitCode: 3, stderr: 'done\n' })
    expect(Buffer.concat(parts).equals(bytes)).toBe(true)
    // A program that does not read its input.
    const unread = Readable.from([Buffer.alloc(5_000_000)])
    expect(await host.run({ argv: ['false'], input: unread }, noSignal)).toMatchObject({ exitCode: 1 })
    const broken = new Readable({ read: () => void broken.destroy(new Error('the disk is gone')) })
    await expect(host.run({ argv: ['cat'], input: broken }, noSignal)).rejects.toThrow('the disk is gone')
  })

  test('talks to a program that stays, until its input ends', async () => {
    const server = await start({ greeting: 'Welcome to the cluster' })
    const host = open(optionsFor(server))
    const program = await host.open(['cat'], noSignal)
    program.stdin.write('one\n')
    await until('it answers', async () => (program.stdout.readableLength > 0 ? true : undefined))
    program.stdin.end('two\n')
    expect(await text(program.stdout)).toBe('one\ntwo\n')
    expect(await program.ended).toMatchObject({ exitCode: 0 })
    const abort = new AbortController()
    const second = await host.open(['sleep', '987'], abort.signal)
    abort.abort()
    expect((await second.ended).exitCode).toBe(null)
  })

  test('ends a command that takes too long or that nobody wants, and goes on with the others', async () => {
    const server = await start()
    const host = open(optionsFor(server))
    await expect(host.run({ argv: ['sleep', '986'], timeoutMs: 100 }, noSignal)).rejects.toThrow(
      /did not carry out sleep within 100 ms/,
    )
    const abort = new AbortController()
    const running = host.run({ argv: ['sleep', '985'] }, abort.signal).catch((error: unknown) => error)
    await until('it runs', async () => ((await server.processes('sleep')).length > 0 ? true : undefined))
    abort.abort(new Error('not wanted'))
    expect(String(await running)).toContain('not wanted')
    expect(await say(host, 'echo next')).toMatchObject({ stdout: 'next\n' })
    await until('they are gone', async () =>
      (await server.processes('sleep')).length === 0 ? true : undefined,
    )
  })

  test.each([1, 2])('gets along with %i channels per connection', async (maxSessions) => {
    const server = await start({ maxSessions })
    const host = open(optionsFor(server))
    const program = await host.open(['cat'], noSignal)
    const many = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        index % 3 === 0
          ? host.run({ argv: ['cat'], input: Readable.from([`${index}`]) }, noSignal)
          : say(host, 'echo "$1"', `${index}`),
      ),
    )
    expect(many.map(({ stdout }) => stdout.trim())).toEqual(many.map((_, index) => `${index}`))
    program.stdin.end()
    await program.ended
  })

  test('all who ask for the same options share one connection', async () => {
    const server = await start()
    const hosts = new SshHosts({ variables: process.env, now: Date.now, random: Math.random })
    const [one, two] = [hosts.open(optionsFor(server), false), hosts.open(optionsFor(server), true)]
    opened.push(one, two)
    const parent = 'ps -o ppid= -p $PPID'
    await Promise.all([say(one, 'true'), say(two, 'true')])
    expect([one.sharesFiles, two.sharesFiles]).toEqual([false, true])
    await one.close()
    expect((await say(two, parent)).exitCode).toBe(0)
    expect((await server.log()).match(/Accepted publickey/g)).toHaveLength(1)
    await two.close()
    await expect(say(two, 'true')).rejects.toThrow(EnvironmentError)
  })

  test('leaves no process and no file behind', async () => {
    const server = await start()
    // Other tests use the common directory for temporary files at the same time.
    vi.stubEnv('TMPDIR', directory)
    const host = open(optionsFor(server))
    await say(host, 'true')
    expect(readdirSync(directory)).toHaveLength(2)
    await host.close()
    expect(readdirSync(directory)).toEqual(['config'])
    await until('its shells are gone', async () =>
      (await server.processes('bash')).length === 0 ? true : undefined,
    )
  })

  test('reads what the login profile sets', async () => {
    const server = await start()
    writeFileSync(join(server.home, '.bash_profile'), 'export FROM_PROFILE=yes; echo noise; read -r line\n')
    expect((await say(open(optionsFor(server)), 'echo "$FROM_PROFILE"')).stdout).toBe('yes\n')
    const without = open(optionsFor(server, { loginProfile: false }))
    expect((await say(without, 'echo "$FROM_PROFILE"')).stdout).toBe('\n')
  })

  test('takes a password, which nobody sees', async () => {
    const server = await start()
    const { identityFile: _, ...options } = optionsFor(server, { password: server.password })
    const host = open(options)
    expect((await say(host, 'echo in')).stdout).toBe('in\n')
    const seen = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => ['cmdline', 'environ'].map((file) => read(`/proc/${pid}/${file}`)).join(''))
      .filter((words) => words.includes('molehill-ssh-'))
    expect(seen.length).toBeGreaterThan(0)
    expect(seen.filter((words) => words.includes(server.password))).toEqual([])
  })

  test('takes a passphrase', async () => {
    const server = await start()
    const { identityFile } = server
    const { runCommand } = await import('../../../test/daemons/run-command.ts')
    await runCommand(['ssh-keygen', '-q', '-p', '-P', '', '-N', 'pass phrase $x', '-f', identityFile])
    const host = open(optionsFor(server, { passphrase: 'pass phrase $x' }))
    expect((await say(host, 'echo in')).stdout).toBe('in\n')
    const wrong = open(optionsFor(server, { passphrase: 'wrong' }))
    await expect(say(wrong, 'true')).rejects.toThrow(/refused the user.*secret passphrase is that of/)
    await expect(say(open(optionsFor(server)), 'true')).rejects.toThrow(/refused the user.*has a passphrase/)
  })

  test('a wrong password is refused, and not tried again at once', async () => {
    const server = await start()
    const { identityFile: _, ...options } = optionsFor(server, { password: 'wrong' })
    const host = open(options)
    await expect(say(host, 'true')).rejects.toThrow(/refused the user.*Permission denied/)
    await expect(say(host, 'true')).rejects.toThrow(/The next try is in/)
    expect((await server.log()).match(/Failed password/g)).toHaveLength(1)
  })

  test('an account whose login ends by itself is told as such, with what it printed', async () => {
    const server = await start()
    writeFileSync(join(server.home, '.bashrc'), 'echo This account is closed.; exit 3\n')
    await expect(say(open(optionsFor(server)), 'true')).rejects.toThrow(
      /ended by itself, with exit code 3.*This account is closed\./s,
    )
  })

  test('who asks to try again at once is not answered by an earlier failure', async () => {
    const server = await start()
    const key = read(server.authorizedKeysFile)
    writeFileSync(server.authorizedKeysFile, '')
    const host = open(optionsFor(server))
    await expect(say(host, 'true')).rejects.toThrow(/refused the user/)
    writeFileSync(server.authorizedKeysFile, key)
    await expect(say(host, 'true')).rejects.toThrow(/The next try is in/)
    host.tryAgain?.()
    expect((await say(host, 'echo in')).stdout).toBe('in\n')
  })

  test('refuses a host that is not known, and says which line to add', async () => {
    const server = await start()
    const knownHostsFile = join(directory, 'known_hosts')
    const host = open(optionsFor(server, { knownHostsFile }))
    const error = await say(host, 'true').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(EnvironmentError)
    const { message } = error as Error
    expect(message).toContain(`add this line to ${knownHostsFile}:\n${server.hostKey}\n`)
    expect(message).toContain('acceptNew: true')
    const trusting = open(optionsFor(server, { knownHostsFile, acceptNew: true }))
    expect((await say(trusting, 'echo in')).stdout).toBe('in\n')
    expect(readFileSync(knownHostsFile, 'utf8')).toContain(server.hostKey.split(' ')[2])
  })

  test('refuses a changed key, also when new ones are accepted', async () => {
    const [server, other] = await Promise.all([start(), start()])
    const knownHostsFile = join(directory, 'known_hosts')
    const key = other.hostKey.split(' ').slice(1).join(' ')
    writeFileSync(knownHostsFile, `${server.hostKey.split(' ')[0]} ${key}\n`)
    const host = open(optionsFor(server, { knownHostsFile, acceptNew: true }))
    await expect(say(host, 'true')).rejects.toThrow(/HAS CHANGED/)
  })

  test('names what is wrong with a host that cannot be reached', async () => {
    const server = await start()
    await expect(say(open(optionsFor(server, { host: 'no-such-host.invalid' })), 'true')).rejects.toThrow(
      /name of the host .* is not known/,
    )
    await server.kill()
    await expect(say(open(optionsFor(server)), 'true')).rejects.toThrow(/takes no SSH connections/)
  })

  test('a host whose login shell is not bash', async () => {
    const server = await start()
    writeFileSync(join(server.home, '.bashrc'), 'exec sh -c "echo no; exit 1"\n')
    await expect(say(open(optionsFor(server)), 'true')).rejects.toThrow(EnvironmentError)
  })

  test('tells at once that the connection was cut, and connects again', async () => {
    const server = await start()
    const host = open(optionsFor(server))
    const running = say(host, 'echo $$; sleep 984').catch((error: unknown) => error)
    await until('it runs', async () => ((await server.processes('sleep')).length > 0 ? true : undefined))
    await server.kill()
    expect(String(await running)).toMatch(/cut off/)
    await server.restart()
    const answer = await until('it is back', async () => say(host, 'echo back').catch(() => undefined))
    expect(answer.stdout).toBe('back\n')
  })

  test('somebody who asks too soon after a failure is put off, and others then reach the host', async () => {
    const server = await start()
    const host = open(optionsFor(server))
    await server.kill()
    await expect(say(host, 'true')).rejects.toThrow(/takes no SSH connections/)
    await expect(say(host, 'true')).rejects.toThrow(/The next try is in/)
    await server.restart()
    const answer = await until('it is back', async () => say(host, 'echo back').catch(() => undefined))
    expect(answer.stdout).toBe('back\n')
  })

  test('notices a host that is silent', async () => {
    const server = await start()
    const host = open(optionsFor(server))
    await say(host, 'true')
    const running = say(host, 'sleep 983').catch((error: unknown) => error)
    await server.pause()
    const began = performance.now()
    expect(String(await running)).toMatch(/cut off.*cannot be reached/)
    expect(performance.now() - began).toBeLessThan(8000)
    await server.resume()
    const answer = await until('it is back', async () => say(host, 'echo back').catch(() => undefined))
    expect(answer.stdout).toBe('back\n')
  })

  test('waits its turn where a host takes few connections at a time', async () => {
    const server = await start({ maxStartups: '2:100:2' })
    const hosts = Array.from({ length: 8 }, () => open(optionsFor(server)))
    const answers = await Promise.all(hosts.map((host) => say(host, 'echo in')))
    expect(answers.map(({ stdout }) => stdout)).toEqual(hosts.map(() => 'in\n'))
  })
})

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Gone meanwhile.
    return ''
  }
}
