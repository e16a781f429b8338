import { describeEnvironment } from '../../test/conformance/environment.ts'
import { plugin } from './index.ts'

describeEnvironment('local', (directory) =>
  plugin.create('local', plugin.options.parse({ slots: 2, stopGraceMs: 2000 }), {
    directory,
    variables: process.env,
    now: Date.now,
    warn: () => undefined,
  }),
)
