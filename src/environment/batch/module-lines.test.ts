import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { moduleLines } from './module-lines.ts'

function runAfter(...before: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const text = [...before, ...moduleLines(['gcc/12.2', 'R']), 'echo goes on'].join('\n')
  const { status, stdout, stderr } = spawnSync('bash', ['-c', text], { encoding: 'utf8' })
  return { status, stdout, stderr }
}

test('modules are loaded in their order before the command', () => {
  expect(runAfter('module() { echo "$@"; }').stdout).toBe('load gcc/12.2 R\ngoes on\n')
})

test('a job without its modules fails and says so', () => {
  const { status, stdout, stderr } = runAfter('module() { false; }')
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toContain('gcc/12.2 R could not be loaded')
})

test('what defines module is found where MODULESHOME says', () => {
  const home = mkdtempSync(join(tmpdir(), 'molehill-modules-'))
  try {
    mkdirSync(join(home, 'init'))
    writeFileSync(join(home, 'init/bash'), 'module() { echo "defined $@"; }\n')
    const { stdout, stderr } = runAfter(`MODULESHOME=${home}`)
    // A site may have its own, which is found first.
    expect(stdout + stderr).toMatch(/defined load gcc|could not be loaded/)
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
})

test('without modules nothing is said', () => {
  expect(moduleLines([])).toEqual([])
})
