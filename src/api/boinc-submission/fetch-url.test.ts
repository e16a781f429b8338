import { createServer, type Server } from 'node:http'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchUrl, type FetchRules } from './fetch-url.ts'
import { isPublicAddress } from './public-address.ts'

let server: Server
let directory: string
let port: number
let files = 0
const asked: string[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'molehill-fetch-'))
  server = createServer((request, response) => {
    const { url = '', headers } = request
    asked.push(`${headers.host} ${url}`)
    const to = new URL(url, 'http://h').searchParams.get('to')
    if (to !== null) response.writeHead(302, { location: to }).end()
    else if (url === '/a') response.end('content')
    else if (url === '/slow') response.write('begun')
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ;({ port } = server.address() as AddressInfo)
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(directory, { recursive: true, force: true })
})

const resolve: FetchRules['resolve'] = async (hostname) =>
  hostname === 'mixed.example'
    ? [
        { address: '93.184.216.34', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ]
    : [{ address: '127.0.0.1', family: 4 }]

async function fetched(
  url: string,
  hosts: readonly string[],
  more: Partial<FetchRules> = {},
): Promise<string> {
  files += 1
  const path = join(directory, String(files))
  const rules = { hosts, bytesAtMost: 100, idleMs: 500, resolve, ...more }
  const { bytes, md5 } = await fetchUrl(url, path, rules, AbortSignal.timeout(20_000))
  const content = await readFile(path, 'utf8')
  expect([bytes, md5]).toEqual([content.length, '9a0364b9e99bb480dd25e1f0284c8555'])
  return content
}

describe('fetching a file', () => {
  it('works from a host that is named, whatever its address', async () => {
    expect(await fetched(`http://127.0.0.1:${port}/a`, [`127.0.0.1:${port}`])).toBe('content')
    expect(await fetched(`http://files.example:${port}/a`, [`files.example:${port}`])).toBe('content')
    expect(asked.at(-1)).toBe(`files.example:${port} /a`)
    expect(await fetched(`http://a.example:${port}/?to=/a`, [`a.example:${port}`])).toBe('content')
  })

  it.each([
    [
      'a host that is not named',
      'http://other.example:PORT/a',
      ['files.example:PORT'],
      /does not allow files from other/,
    ],
    ['no host at all', 'http://127.0.0.1:PORT/a', [], /does not allow/],
    ['a private address behind a public name', 'http://inside.example:PORT/a', ['*'], /no public address/],
    ['a private address among public ones', 'http://mixed.example:PORT/a', ['*'], /no public address/],
    ['loopback as a number', 'http://2130706433:PORT/a', ['*'], /no public address/],
    ['loopback of IPv6', 'http://[::1]:PORT/a', ['*'], /no public address/],
    ['loopback as IPv6', 'http://[::ffff:127.0.0.1]:PORT/a', ['*'], /no public address/],
    ['another scheme', 'file:///etc/passwd', ['*'], /http or https/],
    ['a password in the URL', 'http://u:p@files.example:PORT/a', ['files.example:PORT'], /no password/],
    [
      'a redirect to another host',
      'http://a.example:PORT/?to=http://b.example:PORT/a',
      ['a.example:PORT'],
      /does not allow files from b/,
    ],
    [
      'a redirect to a file',
      'http://a.example:PORT/?to=file:///etc/passwd',
      ['a.example:PORT'],
      /http or https/,
    ],
    [
      'redirects without an end',
      'http://a.example:PORT/?to=/?to=/?to=/?to=/?to=',
      ['a.example:PORT'],
      /redirects|answered/,
    ],
    ['what is not there', 'http://a.example:PORT/none', ['a.example:PORT'], /answered 404/],
    ['a server that falls silent', 'http://a.example:PORT/slow', ['a.example:PORT'], /no byte came|aborted/],
    ['nothing', '', ['*'], /http or https/],
  ])('refuses %s', async (_, url, hosts, message) => {
    const own = (text: string) => text.replaceAll('PORT', String(port))
    await expect(
      fetched(
        own(url),
        hosts.map((host) => own(host)),
      ),
    ).rejects.toThrow(message)
  })

  it('refuses what is too large', async () => {
    await expect(
      fetched(`http://a.example:${port}/a`, [`a.example:${port}`], { bytesAtMost: 6 }),
    ).rejects.toThrow('larger than 6 bytes')
  })
})

describe('an address', () => {
  it.each([
    ['93.184.216.34', true],
    ['2606:2800:220:1:248:1893:25c8:1946', true],
    ...[
      '0.0.0.0',
      '10.1.2.3',
      '100.64.0.1',
      '127.0.0.1',
      '169.254.169.254',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
    ].map((address) => [address, false] as const),
    ...[
      '224.0.0.1',
      '255.255.255.255',
      '::',
      '::1',
      'fe80::1',
      'fd00::1',
      'ff02::1',
      '::ffff:10.0.0.1',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
      'x',
    ].map((address) => [address, false] as const),
  ] as const)('%s is public: %s', (address, isPublic) => {
    expect(isPublicAddress(address)).toBe(isPublic)
  })
})
