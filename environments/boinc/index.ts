import { mkdirSync } from 'node:fs'
import type { EnvironmentPlugin } from '../../src/environment/plugin.ts'
import { Problem } from '../../src/problem.ts'
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
      throw new Problem('workflow-invalid', 'This server takes no volunteers, so that it has no boinc.', {
        hint: 'Run jobs elsewhere, or start the server with --volunteers.',
      })
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const ownPlatform = ownPlatforms[`${process.platform} ${process.arch}`]
    return new BoincEnvironment(name, { project: volunteers, options, directory, ownPlatform, now })
  },
}
