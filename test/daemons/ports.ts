import { createServer, type Server } from 'node:net'
import { randomInt } from 'node:crypto'

const blockSize = 32
// Below the ports that Linux gives to outgoing connections.
const [lowest, highest] = [20_000, 32_000]

export interface PortBlock {
  /** The first of 31 free ports in a row. */
  readonly first: number
  /** Gives the ports to others; call it when the daemons are gone. */
  release(): Promise<void>
}

/**
 * Ports of 127.0.0.1 for the daemons of one start. One port more is held open as the sign that the block is taken, so
 * that test files running at once never choose the same, and that nothing stays taken after a hard end.
 */
export async function claimPorts(): Promise<PortBlock> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const base = lowest + blockSize * randomInt((highest - lowest) / blockSize)
    const sign = await listen(base)
    if (sign === undefined) continue
    if (await areFree(base + 1, blockSize - 1)) return { first: base + 1, release: () => close(sign) }
    await close(sign)
  }
  throw new Error(`found no ${blockSize} free ports in a row between ${lowest} and ${highest}`)
}

async function areFree(first: number, count: number): Promise<boolean> {
  const servers = await Promise.all(Array.from({ length: count }, (_, index) => listen(first + index)))
  await Promise.all(servers.map((server) => (server === undefined ? Promise.resolve() : close(server))))
  return !servers.includes(undefined)
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.on('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => resolve(server))
    // The sign of a taken block must not keep a finished test alive.
    server.unref()
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
