import { Problem } from '../problem.ts'

/** Whether a name can be that of a workflow. It is the name of a folder too: nothing of it leads elsewhere. */
export function isEntryName(name: string): boolean {
  return /^[A-Za-z][\w.-]{0,63}$/.test(name)
}

export function badEntryName(name: string): Problem {
  return new Problem(
    'parameter-invalid',
    `The name ${JSON.stringify(name.slice(0, 100))} cannot be a workflow's; expected a letter, then up to 63 letters, digits, dots, hyphens or underscores.`,
    { hint: 'Give it another one: molehill catalog add DIR --name NAME' },
  )
}
