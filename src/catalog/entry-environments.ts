import { Problem } from '../problem.ts'
import { isEntryName } from './entry-name.ts'

/**
 * Reads where workflows of the catalog run that leave it open: `source-finder=cluster word-count=workstation` gives
 * the named environment of each. How much a job may take there is among the environment's own options. Throws Problem
 * configuration-invalid.
 */
export function readEntryEnvironments(text: string): ReadonlyMap<string, string> {
  const pairs = text.split(/[\s,]+/).filter((pair) => pair !== '')
  return new Map(
    pairs.map((pair) => {
      const [name = '', environment = '', ...more] = pair.split('=')
      if (!isEntryName(name) || environment === '' || more.length > 0)
        throw new Problem(
          'configuration-invalid',
          `catalog-environments: expected WORKFLOW=ENVIRONMENT with spaces between, got ${JSON.stringify(pair.slice(0, 100))}.`,
          { hint: 'As in --catalog-environments "source-finder=cluster word-count=workstation"' },
        )
      return [name, environment] as const
    }),
  )
}
