import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { kubernetesTree } from './absence.ts'
import { describeWith, whyAbsent } from './present.ts'

describeWith('sshd', 'the presence of daemons', () => {
  test('a program that is missing is named, and what installs it', () => {
    const without = (missing: string) => (program: string) => !program.includes(missing)
    expect(whyAbsent('slurm', without('slurmd'))).toBe('no slurmd here: run scripts/install-services')
    expect(whyAbsent('condor', without('condor_submit'))).toMatch(/run scripts\/install-services --condor$/)
    const sentence = /^no Kubernetes built in \/\S+: run scripts\/install-services --kubernetes$/
    expect(whyAbsent('kubernetes', without('recipe'))).toMatch(sentence)
    expect(whyAbsent('kubernetes-node', without('recipe'))).toMatch(sentence)
    expect(whyAbsent('sshd')).toBeUndefined()
  })

  test('a folder says itself what its own daemon needs', () => {
    const own = { programs: ['sh', 'no-such-spooler'], remedy: 'install the package no-such-spooler' }
    expect(whyAbsent(own)).toBe('no no-such-spooler here: install the package no-such-spooler')
    expect(whyAbsent({ ...own, programs: ['sh'] })).toBeUndefined()
  })

  test('the tree of another recipe is none', () => {
    const recipe = readFileSync(join(import.meta.dirname, 'kubernetes/build.sh'), 'utf8')
    const [, number] = /^recipe=(\d+)$/m.exec(recipe) ?? []
    const asked: string[] = []
    whyAbsent('kubernetes', (program) => asked.push(program) > 0)
    expect(asked).toContain(`${kubernetesTree}/recipe-${number}`)
  })

  test('who is not root is told so', () => {
    // As another user Node itself might lie in a directory that is closed.
    const asked = vi.spyOn(process, 'getuid').mockReturnValue(65_534)
    try {
      expect(whyAbsent('sshd')).toBe('needs root')
      expect(whyAbsent('kubernetes-node')).toBe('needs root')
      expect(whyAbsent('kubernetes', () => true)).toBeUndefined()
    } finally {
      asked.mockRestore()
    }
  })
})
