import { mkdirSync } from 'node:fs'
import { EnvironmentError } from '../../src/environment/environment.ts'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { BoincEnvironment } from './environment.ts'
import { boincOperatorOnly, boincOptions, type BoincOptions } from './options.ts'

/** What BOINC calls the platforms that Molehill's own Node may be for. */
const ownPlatforms: Readonly<Record<string, string>> = {
  'linux x64': 'x86_64-pc-linux-gnu',
  'linux arm64': 'aarch64-unknown-linux-gnu',
}

/** Hosts of BOINC volunteers, who come to this server and ask for work. */
export const plugin: EnvironmentPlugin<BoincOptions> = {
  kind: 'boinc',
  options: boincOptions,
  operatorOnly: boincOperatorOnly,
  async create(name, options, { directory, volunteers, now }) {
    if (volunteers === undefined)
      throw new EnvironmentError(
        'This server takes no volunteers: start it with --volunteers, as docs/operations/boinc.md tells.',
      )
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const ownPlatform = ownPlatforms[`${process.platform} ${process.arch}`]
    return new BoincEnvironment(name, { project: volunteers, options, directory, ownPlatform, now })
  },
}
