import { isAbsolute, join } from 'node:path'
import { z } from 'zod'
import { EnvironmentError } from '../../../src/environment/environment.ts'
import type { Host } from '../../../src/environment/host.ts'
import { tokenIn, type TlsFacts } from './access.ts'

/** `exec` of a kubeconfig's user. */
export interface CredentialProgram {
  readonly apiVersion?: string | undefined
  readonly command: string
  readonly args?: readonly string[] | null | undefined
  readonly env?: readonly { readonly name: string; readonly value: string }[] | null | undefined
}

/** `ExecCredential` of client.authentication.k8s.io/v1. */
const credentialShape = z.looseObject({
  status: z.looseObject({
    token: z.string().min(1).optional(),
    clientCertificateData: z.string().min(1).optional(),
    clientKeyData: z.string().min(1).optional(),
    expirationTimestamp: z.iso.datetime({ offset: true }).optional(),
  }),
})

const timeoutMs = 60_000
/** Read again so long before they end, so that no request meets the end. */
const earlyMs = 30_000
/** How much of what a program complains of is told. */
const toldCharacters = 500

/** Runs the program that gives credentials. Throws EnvironmentError where it gives none. */
export async function runCredentialProgram(
  program: CredentialProgram,
  {
    host,
    directory,
    whose,
    signal,
    now,
  }: {
    readonly host: Host
    /** Programs with a slash in their name are meant as seen from here. */
    readonly directory: string | undefined
    readonly whose: string
    readonly signal: AbortSignal
    readonly now: () => number
  },
): Promise<{ readonly token?: string; readonly tls: TlsFacts; readonly staleAtMs?: number }> {
  const { command, args, env } = program
  const apiVersion = program.apiVersion ?? 'client.authentication.k8s.io/v1'
  const path =
    command.includes('/') && !isAbsolute(command) && directory !== undefined
      ? join(directory, command)
      : command
  const told = `${path}, the program of ${whose},`
  const result = await host.run(
    {
      argv: [path, ...(args ?? [])],
      variables: {
        KUBERNETES_EXEC_INFO: JSON.stringify({
          apiVersion,
          kind: 'ExecCredential',
          spec: { interactive: false },
        }),
        ...Object.fromEntries((env ?? []).map(({ name, value }) => [name, value])),
      },
      timeoutMs,
    },
    signal,
  )
  if (result.exitCode !== 0)
    throw new EnvironmentError(
      `${told} ended with ${result.exitCode === null ? 'a signal' : `exit code ${result.exitCode}`}: ` +
        (result.stderr.trim().slice(-toldCharacters) || 'it said nothing on standard error.'),
    )
  const { token, clientCertificateData, clientKeyData, expirationTimestamp } = credentialIn(
    result.stdout,
    told,
  )
  if (token === undefined && (clientCertificateData === undefined || clientKeyData === undefined))
    throw new EnvironmentError(`${told} gave neither a token nor a certificate with its key.`)
  return {
    ...(token !== undefined && { token: tokenIn(token, told) }),
    tls:
      clientCertificateData !== undefined && clientKeyData !== undefined
        ? { cert: clientCertificateData, key: clientKeyData }
        : {},
    ...(expirationTimestamp !== undefined && {
      // One that is over already is still tried once, and not run for every request.
      staleAtMs: Math.max(Date.parse(expirationTimestamp) - earlyMs, now() + 1000),
    }),
  }
}

function credentialIn(output: string, told: string): z.output<typeof credentialShape>['status'] {
  // What it printed may hold a token: it is not told.
  try {
    const read = credentialShape.safeParse(JSON.parse(output))
    if (read.success) return read.data.status
  } catch {
    // Told below.
  }
  throw new EnvironmentError(`${told} did not print an ExecCredential with a status.`)
}
