import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { toJobId, type FileTransfer, type OutputFile } from './environment.ts'
import { makeView, rememberingReader, segmentsOf } from './view.ts'

let base: string
let work: string
let view: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'molehill-view-'))
  work = join(base, 'work')
  view = join(base, 'view')
  mkdirSync(join(work, 'data/raw'), { recursive: true })
  for (const name of ['model', 'data/x.csv', 'data/raw/y.csv']) writeFileSync(join(work, name), name)
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

function make(inputs: readonly FileTransfer[], outputs: readonly OutputFile[]): void {
  const request = {
    id: toJobId('job'),
    command: ['true'],
    env: {},
    workDirectory: work,
    inputs,
    outputs,
    resources: {},
  }
  makeView(view, request, rememberingReader())
}

const isLink = (path: string): boolean => lstatSync(join(view, path)).isSymbolicLink()
const content = (path: string): string => readFileSync(join(view, path), 'utf8')

test('each name of the work directory is a link', () => {
  make([], [])
  expect(readdirSync(view).sort()).toEqual(['data', 'model'])
  expect([isLink('data'), isLink('model')]).toEqual([true, true])
  expect(content('./data/raw/y.csv')).toBe('data/raw/y.csv')
})

test('directories on the way to an output are real, their other children links', () => {
  make([], [{ path: './data/raw/result.csv' }, { path: 'new/dir/file' }])
  expect([isLink('data'), isLink('data/raw'), isLink('data/x.csv'), isLink('model')]).toEqual([
    false,
    false,
    true,
    true,
  ])
  expect(content('data/raw/y.csv')).toBe('data/raw/y.csv')
  expect(readdirSync(join(view, 'new/dir'))).toEqual([])
})

test('a name where an output goes is not linked', () => {
  make([], [{ path: 'data/x.csv' }, { path: 'model' }])
  expect([existsSync(join(view, 'data/x.csv')), existsSync(join(view, 'model'))]).toEqual([false, false])
})

test('an output directory starts without the names of the work directory', () => {
  make([], [{ path: 'data' }, { path: 'data/raw/z' }])
  expect(readdirSync(join(view, 'data'))).toEqual(['raw'])
  expect(readdirSync(join(view, 'data/raw'))).toEqual([])
})

test('an input takes the place of a name, beside the other children', () => {
  writeFileSync(join(base, 'sample'), 'sample')
  make([{ from: join(base, 'sample'), to: './data/x.csv' }], [])
  expect(content('data/x.csv')).toBe('sample')
  expect(content('data/raw/y.csv')).toBe('data/raw/y.csv')
  expect(readFileSync(join(work, 'data/x.csv'), 'utf8')).toBe('data/x.csv')
})

test('an input that is an output too is a copy', () => {
  writeFileSync(join(base, 'state'), 'before')
  make([{ from: join(base, 'state'), to: 'state' }], [{ path: 'state' }])
  writeFileSync(join(view, 'state'), 'after')
  expect(readFileSync(join(base, 'state'), 'utf8')).toBe('before')
})

test('an output inside an input directory leaves the original directory alone', () => {
  make([{ from: join(work, 'data'), to: 'in' }], [{ path: 'in/raw/new' }])
  writeFileSync(join(view, 'in/raw/new'), '')
  expect(readdirSync(join(work, 'data/raw'))).toEqual(['y.csv'])
  expect(content('in/x.csv')).toBe('data/x.csv')
})

test('each directory is read once for all jobs of a batch', () => {
  const read = rememberingReader()
  expect(read(work)).toEqual(['data', 'model'])
  writeFileSync(join(work, 'late'), '')
  expect(read(work)).toEqual(['data', 'model'])
  expect(read(join(work, 'nowhere'))).toEqual([])
})

test.each(['', '.', './', '/etc', '..', 'a/../b', 'a/..', 'a\0b'])(
  '%j is no path below a directory',
  (path) => {
    expect(segmentsOf(path)).toBeUndefined()
  },
)

test('segments leave out what does not move', () => {
  expect(segmentsOf('./a//b/./c')).toEqual(['a', 'b', 'c'])
})
