import { describe, expect, it } from 'vitest'
import { writeXml } from '../write-xml.ts'
import { parseXml } from '../xml.ts'
import { estimateSeconds, remainingSeconds } from './estimate.ts'
import { isOver, standingOf, words } from './job-states.ts'
import { splitCommandLine } from './split-command-line.ts'
import { inputTemplate, outputTemplate, readInputTemplate, readOutputTemplate } from './templates.ts'

describe('a command line', () => {
  it.each([
    ['', []],
    ['  --t 1 ', ['--t', '1']],
    [`--name 'a b' "c d"`, ['--name', 'a b', 'c d']],
    [`a'b c"d`, [`a'b`, `c"d`]],
    [String.raw`a\ b \'c`, ['a\\', 'b', String.raw`\'c`]],
    [`'' ""`, ['', '']],
    [`'open end`, ['open end']],
  ])('%j is split as by the client of BOINC', (line, expected) => {
    expect(splitCommandLine(line)).toEqual(expected)
  })
})

describe('an estimate', () => {
  const facts = { jobs: 100, operations: 6e12, meanSeconds: undefined, jobsBefore: 0, slots: 4 }
  it('comes from operations where nothing has run', () => {
    expect(estimateSeconds(facts)).toBe(1500)
    expect(estimateSeconds({ ...facts, jobs: 0, operations: 0 })).toBe(0)
  })
  it('comes from run times, and from what waits before it', () => {
    expect(estimateSeconds({ ...facts, meanSeconds: 2 })).toBe(50)
    expect(estimateSeconds({ ...facts, meanSeconds: 2, jobsBefore: 50 })).toBe(75)
    expect(estimateSeconds({ ...facts, jobs: 1, operations: 6e10, meanSeconds: 2 })).toBe(2)
  })
  it('of what remains follows the jobs that have ended', () => {
    const progress = {
      jobs: 100,
      ended: 0,
      estimatedSeconds: 60,
      secondsSinceSubmit: 20,
      secondsSinceBegun: 10,
    }
    expect(remainingSeconds(progress)).toBe(40)
    expect(remainingSeconds({ ...progress, secondsSinceSubmit: 99 })).toBe(0)
    expect(remainingSeconds({ ...progress, ended: 25 })).toBe(30)
    expect(remainingSeconds({ ...progress, ended: 100 })).toBe(0)
    expect(remainingSeconds({ ...progress, ended: 1, secondsSinceBegun: undefined })).toBe(40)
  })
})

describe('a job', () => {
  it.each([
    ['ready', null, 'unsent', false],
    ['submitted', null, 'unsent', false],
    ['running', null, 'running', false],
    ['completed', null, 'done', true],
    ['cancelled', null, 'aborted', true],
    ['failed', 'The command ended with exit code 3', 'error', true],
    ['failed', 'The environment refused the job: too large', 'refused', true],
    ['failed', 'The environment lost the job: gone', 'lost', true],
    ['failed', null, 'error', true],
  ] as const)('that is %s (%s) is %s', (state, error, standing, over) => {
    expect(standingOf({ state, error })).toBe(standing)
    expect(isOver(standing)).toBe(over)
  })
  it('has the words of BOINC for how it stands', () => {
    expect(Object.values(words).map(({ condor }) => condor)).toEqual(
      expect.arrayContaining(['UNSENT', 'IN_PROGRESS', 'DONE', 'ERROR']),
    )
    expect(words.aborted.error).toEqual({ word: 'cancelled', bit: 16 })
  })
})

describe('templates', () => {
  it('are read as they are written', () => {
    const bounds = {
      operationsEstimate: 60e9,
      operationsBound: 60e12,
      diskBytes: 2e6,
      memoryBytes: 1e6,
      delaySeconds: 3600,
    }
    const input = parseXml(writeXml(inputTemplate(['in', 'more'], bounds)))
    expect(readInputTemplate(input)).toEqual({ openNames: ['in', 'more'], bounds })
    expect(readOutputTemplate(parseXml(writeXml(outputTemplate(['out'], 6e6))))).toEqual({
      openNames: ['out'],
    })
  })
})
