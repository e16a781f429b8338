import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { condorTree } from '../daemons/condor.ts'
import { newerSlurmTree } from '../daemons/newer-slurm.ts'

/** A bash of this computer. */
export interface Bash {
  readonly version: string
  /** A PATH on which it is `bash`. */
  readonly path: string
}

/**
 * The system's bash, and a newer one where a tree of a newer Debian is there: versions differ in what they say of jobs
 * that a signal ended. `remove` when they are needed no more.
 */
export function presentBashes(): { readonly all: readonly Bash[]; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'molehill-test-bash-'))
  const path = process.env['PATH'] ?? ''
  const paths = [path]
  const tree = [condorTree, newerSlurmTree].find((each) => existsSync(join(each, 'bin/bash')))
  if (tree !== undefined) {
    // Its libraries go with it, and are none of the programs that it starts.
    const words = [`${tree}/lib64/ld-linux-x86-64.so.2`, '--library-path', `${tree}/lib/x86_64-linux-gnu`]
    const text = `#!/bin/sh\nexec ${words.join(' ')} ${tree}/bin/bash "$@"\n`
    writeFileSync(join(directory, 'bash'), text, { mode: 0o755 })
    paths.push(`${directory}:${path}`)
  }
  return {
    all: paths.map((each) => ({ version: versionOn(each), path: each })),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

function versionOn(path: string): string {
  const words = ['-c', 'echo "$BASH_VERSION"']
  return execFileSync('bash', words, { encoding: 'utf8', env: { PATH: path } }).trim()
}
