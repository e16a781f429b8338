import { randomInt } from 'node:crypto'
import type { Enclosure } from './enclosure.ts'
import { runCommand, tryCommand } from './run-command.ts'

/** Four addresses and a name for the network device between this machine and one enclosure. */
export interface Wire {
  /** Of this machine. */
  readonly outside: string
  /** Of the enclosure, where its device is `eth0`. */
  readonly inside: string
  readonly device: string
  /** Shell lines that give the addresses back. */
  readonly undo: string
}

/**
 * Claims addresses of 10.203.0.0/16 that no other test uses. The sign of the claim is a route that says "unreachable": it
 * also keeps packets for a host that is gone from following the default route off this machine.
 */
export async function claimWire(): Promise<Wire> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const number = randomInt(256 * 64)
    const network = `10.203.${Math.floor(number / 64)}`
    const last = (number % 64) * 4
    const route = `unreachable ${network}.${last}/30 metric 4294967295`
    const { code, stderr } = await tryCommand(['ip', 'route', 'add', ...route.split(' ')])
    if (code !== 0 && !stderr.includes('File exists')) throw new Error(`no route for test hosts: ${stderr}`)
    if (code !== 0) continue
    const device = `mh-${number}`
    return {
      outside: `${network}.${last + 1}`,
      inside: `${network}.${last + 2}`,
      device,
      undo: `ip link del ${device} 2>/dev/null\nip route del ${route}\n`,
    }
  }
  throw new Error('found no free addresses in 10.203.0.0/16')
}

/** Lays the wire into an enclosure that has a network of its own. */
export async function layWire(enclosure: Enclosure, { outside, inside, device }: Wire): Promise<void> {
  const peer = ['peer', 'name', 'eth0', 'netns', String(enclosure.firstProcess)]
  await runCommand(['ip', 'link', 'add', device, 'type', 'veth', ...peer])
  await runCommand(['ip', 'addr', 'add', `${outside}/30`, 'dev', device])
  await runCommand(['ip', 'link', 'set', device, 'up'])
  await enclosure.runOnNetwork(['ip', 'addr', 'add', `${inside}/30`, 'dev', 'eth0'])
  await enclosure.runOnNetwork(['ip', 'link', 'set', 'eth0', 'up'])
}

/** What may go wrong on a wire. Every fault is undone by `heal`. */
export interface WireFaults {
  /** The host's cable is pulled: connections stall, new ones find no route. */
  cut(): Promise<void>
  /** The host hears, but its answers get lost. */
  mute(): Promise<void>
  /** All packets get lost without a word, both ways. */
  drop(): Promise<void>
  /** A share of the packets to the host gets lost. */
  lose(percent: number): Promise<void>
  /** Limits the bandwidth both ways, as tc writes rates: `10mbit`. */
  narrow(rate: string): Promise<void>
  /** Undoes all of the above. */
  heal(): Promise<void>
}

export function wireFaults(enclosure: Enclosure, { outside, device }: Wire): WireFaults {
  const filter = (input: string, output: string) =>
    enclosure.runOnNetwork(['nft', '-f', '-'], {
      input: `table inet faults {
        chain input { type filter hook input priority 0; ${input} }
        chain output { type filter hook output priority 0; ${output} }
      }\n`,
    })
  const shape = (name: string, rate: string) =>
    `tc qdisc replace dev ${name} root tbf rate ${rate} burst 64kb latency 50ms`.split(' ')
  return {
    // At the host's end only: pulled at this end, the wire's route would go and packets follow the default route.
    cut: async () => void (await enclosure.runOnNetwork(['ip', 'link', 'set', 'eth0', 'down'])),
    mute: async () =>
      void (await enclosure.runOnNetwork(['ip', 'route', 'add', 'blackhole', `${outside}/32`])),
    drop: async () => void (await filter('policy drop;', 'policy drop;')),
    lose: async (percent) =>
      void (await filter(`policy accept; numgen random mod 100 < ${percent} drop;`, 'policy accept;')),
    narrow: async (rate) => {
      await runCommand(shape(device, rate))
      await enclosure.runOnNetwork(shape('eth0', rate))
    },
    heal: async () => {
      // each of these fails where its fault is not there
      const undo = [
        ['ip', 'route', 'del', 'blackhole', `${outside}/32`],
        ['nft', 'delete', 'table', 'inet', 'faults'],
        ['tc', 'qdisc', 'del', 'dev', 'eth0', 'root'],
      ]
      for (const command of undo) await enclosure.runOnNetwork(command).catch(() => undefined)
      await tryCommand(['tc', 'qdisc', 'del', 'dev', device, 'root'])
      await enclosure.runOnNetwork(['ip', 'link', 'set', 'eth0', 'up'])
      // else the first connection meets the old "no answer"
      await runCommand(['ip', 'neigh', 'flush', 'dev', device])
    },
  }
}
