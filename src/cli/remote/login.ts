import { text } from 'node:stream/consumers'
import { readAnswer, readProblem, tokenAnswer } from './answers.ts'
import { lookAtCertificate, type Trust } from './certificate.ts'
import { createClient, unreachable } from './client.ts'
import type { Login, Logins } from './logins.ts'
import { nameServer } from './server-url.ts'

export interface LoginOptions {
  readonly url: URL
  readonly logins: Logins
  /** Whether any certificate will do. */
  readonly insecure: boolean
  /** The certificate to trust, where somebody passed its fingerprint. */
  readonly fingerprint?: string | undefined
  /** Absent where there is nowhere to get one from. */
  readonly password?: (() => Promise<string>) | undefined
  /** Tells a person something. */
  readonly say: (message: string) => void
  readonly now: () => number
}

/** What is trusted without another look: what was passed, else what was saved. */
export function chooseTrust({ url, logins, insecure, fingerprint }: LoginOptions): Trust {
  if (insecure) return { kind: 'anything' }
  const known = fingerprint ?? logins.of(nameServer(url))?.fingerprint
  return known === undefined ? { kind: 'authorities' } : { kind: 'fingerprint', fingerprint: known }
}

/**
 * Exchanges the password for a token and saves it. At the first contact with a server whose certificate nobody
 * vouches for, its fingerprint is shown and saved: from then on no other is taken.
 */
export async function login(options: LoginOptions): Promise<Login> {
  const { url, logins, now } = options
  const trust = await meetServer(options)
  const password = (await options.password?.()) ?? ''
  const client = createClient(url, trust)
  try {
    const response = await client.send({
      route: 'token',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ password }).toString(),
    })
    const body = await text(response)
    const { statusCode = 0 } = response
    if (statusCode < 200 || statusCode >= 300) throw readProblem(statusCode, body)
    const { token, duration } = readAnswer(tokenAnswer, body)
    const saved: Login = {
      ...(trust.kind === 'fingerprint' ? { fingerprint: trust.fingerprint } : {}),
      token,
      expiresAt: now() + duration,
    }
    await logins.save(nameServer(url), saved)
    return saved
  } finally {
    client.close()
  }
}

async function meetServer(options: LoginOptions): Promise<Trust> {
  const { url, logins, say } = options
  const trust = chooseTrust(options)
  const server = nameServer(url)
  const isFirst = trust.kind === 'authorities' && logins.of(server) === undefined
  if (url.protocol !== 'https:' || !isFirst) return trust
  const { fingerprint, isVouchedFor } = await lookAtCertificate(url).catch((error: unknown) => {
    throw unreachable(error, url)
  })
  if (isVouchedFor) return trust
  say(
    `First contact with ${server}. Nobody vouches for its certificate; its SHA-256 fingerprint is\n` +
      `  ${fingerprint}\n` +
      'It is trusted from now on. Compare it with what the server printed when it started.',
  )
  return { kind: 'fingerprint', fingerprint }
}
