import { expect, test, vi } from 'vitest'
import { describeWith, whyAbsent } from './present.ts'

describeWith('sshd', 'the presence of daemons', () => {
  test('a program that is missing is named, and what installs it', () => {
    const without = (missing: string) => (program: string) => !program.includes(missing)
    expect(whyAbsent('slurm', without('slurmd'))).toBe('no slurmd here: run scripts/install-services')
    expect(whyAbsent('condor', without('condor_submit'))).toMatch(/run scripts\/install-services --condor$/)
    expect(whyAbsent('sshd')).toBeUndefined()
  })

  test('who is not root is told so', () => {
    // As another user Node itself might lie in a directory that is closed.
    const asked = vi.spyOn(process, 'getuid').mockReturnValue(65_534)
    try {
      expect(whyAbsent('sshd')).toBe('needs root')
    } finally {
      asked.mockRestore()
    }
  })
})
