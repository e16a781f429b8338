import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { boxCommand } from './box-command.ts'
import { probeIsolation } from './probe.ts'

const run = promisify(execFile)
const nobody = 65_534

// The limit does not hold for root: then somebody else makes the box.
it('processes in a box are limited, and those outside of it do not count', async () => {
  const isRoot = process.getuid?.() === 0
  const isolation = { ...(await probeIsolation('required', process.env)), isRoot: false }
  const forks = 'for i in {1..100}; do sleep 5 & done; echo "$(jobs -p | wc -l)"; kill $(jobs -p)'
  const [program = '', ...words] = boxCommand(isolation, ['bash', '-c', forks], {
    base: 'system',
    readOnly: [],
    readWrite: [],
    network: false,
    limits: { processes: 20 },
  })
  const user = isRoot ? { uid: nobody, gid: nobody } : {}
  const ended = run(program, words, { ...user, cwd: '/', env: { PATH: '/usr/bin:/bin' }, timeout: 60_000 })
  const { stderr = '' } = await ended.catch((error: { stderr?: string }) => error)
  expect(stderr).toContain('Resource temporarily unavailable')
}, 90_000)
