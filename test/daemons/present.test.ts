import { expect, test } from 'vitest'
import { accountName } from './account.ts'
import { describeWith, whyAbsent } from './present.ts'
import { runCommand } from './run-command.ts'

describeWith('sshd', 'the presence of daemons', () => {
  test('a program that is missing is named, and what installs it', () => {
    const without = (missing: string) => (program: string) => !program.includes(missing)
    expect(whyAbsent('slurm', without('slurmd'))).toBe('no slurmd here: run scripts/install-services')
    expect(whyAbsent('condor', without('condor_submit'))).toMatch(/run scripts\/install-services --condor$/)
    expect(whyAbsent('sshd')).toBeUndefined()
  })

  test('who is not root is told so', async () => {
    const program = `
      import { whyAbsent } from ${JSON.stringify(import.meta.resolve('./absence.ts'))}
      console.log(whyAbsent('sshd'))`
    const as = ['setpriv', '--reuid', accountName, '--clear-groups']
    const node = [process.execPath, '--input-type=module', '--eval', program]
    expect(await runCommand([...as, ...node])).toBe('needs root\n')
  })
})
