import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { noIsolation, type Isolation } from '../isolation/isolation.ts'
import type { EngineSettings } from './settings.ts'
import { jobBoxes, taskView } from './task-boxes.ts'

const places = { readOnly: ['/in'], readWrite: ['/work'] }

function settings(isolation: Isolation, dataDirectory = '/opt/data'): EngineSettings {
  return {
    dataDirectory,
    slots: 1,
    scriptTimeMs: 1,
    scriptMemoryBytes: 1,
    outputBytes: 1,
    isolation,
    taskNetwork: false,
    taskPaths: ['/opt'],
    variables: {},
    now: Date.now,
    warn: () => undefined,
  }
}

it('hides the data directory also where it lies below what tasks may read', () => {
  expect(taskView(settings({ ...noIsolation, wish: 'required' }), places)).toEqual({
    base: 'system',
    hidden: ['/opt/data'],
    readOnly: ['/opt', '/in'],
    readWrite: ['/work'],
    network: false,
  })
})

it('leaves the computer to tasks but for the data directory, as a best effort', () => {
  expect(taskView(settings({ ...noIsolation, wish: 'best-effort' }), places)).toEqual({
    base: 'computer',
    hidden: ['/opt/data'],
    readOnly: ['/in'],
    readWrite: ['/work'],
    network: false,
  })
})

it('gives every job its own box where isolation is required, and one to a launcher elsewhere', async () => {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'molehill-boxes-')))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const isolation: Isolation = { ...noIsolation, bubblewrap: '/usr/bin/bwrap' }
  const commandOf = async (wish: 'required' | 'best-effort') => {
    const boxes = await jobBoxes(settings({ ...isolation, wish }, directory))
    const command = boxes?.command(['true'], { directory: '/work', ...places }).join(' ')
    return { isPerJob: boxes?.isPerJob, seesAll: command?.includes(`--bind ${directory}/executions`) }
  }
  expect(await commandOf('required')).toEqual({ isPerJob: true, seesAll: false })
  expect(await commandOf('best-effort')).toEqual({ isPerJob: false, seesAll: true })
  expect(await jobBoxes(settings(noIsolation, directory))).toBeUndefined()
})
