import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { HostCommand, HostResult } from '../host.ts'
import { ChannelCut, type Channel } from './channel.ts'

const mostOutputBytes = 64 * 1024 * 1024

/** Feeds a program, takes its output and waits for its end. Throws ChannelCut, or what input and output throw. */
export async function runOnChannel(channel: Channel, { input, output }: HostCommand): Promise<HostResult> {
  const parts: Buffer[] = []
  const feeding = feed(channel, input)
  const taking = output === undefined ? take(channel.stdout, parts) : pipeline(channel.stdout, output)
  taking.catch(() => undefined)
  // A program that ends without reading all of its input is none of our concern; an input that breaks is.
  const exitCode = await Promise.race([channel.ended, feeding.then(() => channel.ended)])
  if (exitCode === undefined) throw new ChannelCut(channel.process.words())
  await taking
  return { exitCode, stdout: Buffer.concat(parts).toString(), stderr: channel.stderr() }
}

async function feed({ process: { stdin }, ended }: Channel, input: HostCommand['input']): Promise<void> {
  if (input === undefined || typeof input === 'string') {
    stdin.end(input ?? '')
    return
  }
  let problem: Error | undefined
  // A pipeline gives the input the error of what it feeds.
  input.once('error', (error) => {
    if (!stdin.destroyed) problem = error
  })
  try {
    await pipeline(input, stdin)
  } catch {
    if (problem !== undefined) throw problem
    // Nobody reads any more: the end of the program says why.
    await ended
  }
}

async function take(source: Readable, parts: Buffer[]): Promise<void> {
  let size = 0
  for await (const bytes of source) {
    const part = bytes as Buffer
    size += part.length
    if (size > mostOutputBytes) throw new RangeError(`more than ${mostOutputBytes} bytes of output`)
    parts.push(part)
  }
}
