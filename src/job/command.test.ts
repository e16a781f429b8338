import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import type { JobId } from '../environment/environment.ts'
import type { PlanCapsule, PlanCommandTask } from '../workflow/plan.ts'
import { makeRequest } from './command.ts'
import { quoteWord } from './quote.ts'

const id = 'm1-1' as JobId
const paths = { workDirectory: '/data/work', filesDirectory: '/data/files' }

function capsule(
  task: Partial<PlanCommandTask>,
  placement: Partial<PlanCapsule> = {},
): PlanCapsule & { task: PlanCommandTask } {
  return {
    kind: 'capsule',
    name: 'c',
    environments: [0],
    groupSize: 1,
    retry: { limit: 0, delayMs: 0, factor: 1 },
    timeoutMs: null,
    tolerance: 0,
    hooks: [],
    scope: null,
    location: null,
    ...placement,
    task: {
      kind: 'command',
      command: { kind: 'argv', words: [] },
      env: {},
      inputs: [],
      outputs: [],
      ...task,
    },
  }
}
const word = (text: string) => ({ texts: [text], values: [] })
const value = (name: string) => ({ texts: ['', ''], values: [name] })
const file = (name: string, path: string | null = null) => ({
  name,
  type: { base: 'file', dimensions: 0 } as const,
  path,
})

describe('a command', () => {
  it('passes values as arguments that no shell reads', () => {
    const task = capsule({
      command: {
        kind: 'argv',
        words: [word('model'), { texts: ['--x=', ''], values: ['x'] }, value('list')],
      },
      env: { SEED: value('seed') },
    })
    const request = makeRequest(id, task, { x: '$(id)', list: [1, 2], seed: 7 }, paths)
    expect(request.command).toEqual(['model', '--x=$(id)', '[1,2]'])
    expect(request.env).toEqual({ SEED: '7' })
  })

  it('makes as many words of an array as it has elements', () => {
    const inputs = [{ name: 'list', type: { base: 'string', dimensions: 1 } as const, path: null }]
    const context = { list: ["it's", 'b'] }
    const words = [word('echo'), value('list'), { texts: ['--all=', ''], values: ['list'] }]
    const argv = capsule({ command: { kind: 'argv', words }, inputs })
    expect(makeRequest(id, argv, context, paths).command).toEqual([
      'echo',
      "it's",
      'b',
      '--all=["it\'s","b"]',
    ])
    const shell = capsule({
      command: { kind: 'shell', template: { texts: ['echo ', ''], values: ['list'] } },
      inputs,
    })
    expect(makeRequest(id, shell, context, paths).command[2]).toBe(String.raw`echo 'it'\''s' b`)
  })

  it('puts files where they are asked for, and apart when they have one name', () => {
    const task = capsule({
      command: { kind: 'shell', template: { texts: ['cat ', ' ', ' ', ''], values: ['a', 'b', 'c'] } },
      inputs: [file('a'), file('b'), file('c', 'in/c.txt')],
      outputs: [
        { name: 'd', type: { base: 'string', dimensions: 0 }, reader: { kind: 'read-text', path: 'd.txt' } },
      ],
    })
    const context = { a: 'files/1/out.txt', b: 'files/2/out.txt', c: 'work/data/c c.txt' }
    const request = makeRequest(id, task, context, paths)
    expect(request.inputs).toEqual([
      { from: '/data/files/1/out.txt', to: 'out.txt' },
      { from: '/data/files/2/out.txt', to: '2-out.txt' },
      { from: '/data/work/data/c c.txt', to: 'in/c.txt' },
    ])
    expect(request.command).toEqual(['/bin/sh', '-c', 'cat out.txt 2-out.txt in/c.txt'])
    expect(request.outputs).toEqual([{ path: 'd.txt' }])
  })

  it('keeps a file from being read as an option', () => {
    const task = capsule({ command: { kind: 'argv', words: [word('rm'), value('a')] }, inputs: [file('a')] })
    expect(makeRequest(id, task, { a: 'work/-rf' }, paths).command).toEqual(['rm', './-rf'])
  })

  it('asks for the time that the capsule allows', () => {
    expect(makeRequest(id, capsule({}, { timeoutMs: 5000 }), {}, paths).resources).toEqual({
      wallTimeMs: 5000,
    })
  })
})

describe('a quoted word', () => {
  it('comes back from a shell byte for byte', () => {
    const words = [
      '',
      ' ',
      "it's",
      '$HOME',
      '`id`',
      '\\',
      'a\nb',
      '*',
      '~',
      '"',
      '!x',
      '#',
      'é😀',
      '-n',
      "''",
      '\t',
    ]
    for (const each of words)
      expect(execFileSync('/bin/sh', ['-c', `printf %s ${quoteWord(each)}`], { encoding: 'utf8' })).toBe(each)
  })
})
