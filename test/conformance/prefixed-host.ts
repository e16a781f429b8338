import type { Host } from '../../src/environment/host.ts'
import { LocalHost } from '../../src/environment/local-host.ts'

/** This computer, where every command begins with some words: what enters the namespaces of a test's daemons. */
export function prefixedHost(prefix: readonly string[]): Host {
  const host = new LocalHost({ variables: { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' } })
  return {
    name: host.name,
    sharesFiles: true,
    run: (command, signal) => host.run({ ...command, argv: [...prefix, ...command.argv] }, signal),
    open: (argv, signal) => host.open([...prefix, ...argv], signal),
    close: () => host.close(),
  }
}
