import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { readOpenFilesLimit } from './open-files-limit.ts'

it('reads the limit of this process', () => {
  const module = fileURLToPath(new URL('open-files-limit.ts', import.meta.url))
  const words = ['-c', 'ulimit -n 300; exec "$0" "$@"', process.execPath, '--input-type=module', '--eval']
  const code = `import { readOpenFilesLimit } from ${JSON.stringify(module)}; console.log(readOpenFilesLimit())`
  expect(execFileSync('sh', [...words, code], { encoding: 'utf8' }).trim()).toBe('300')
  expect(readOpenFilesLimit()).toBeGreaterThan(0)
})
