import { text } from '../option-kinds.ts'
import { option } from './option.ts'

/** Where workflows of the catalog run. */
export const catalogOptions = {
  catalogEnvironments: option<string | undefined>({
    name: 'catalog-environments',
    kind: text,
    description:
      'Named environments of workflows of the catalog that leave it open where they run: "source-finder=cluster word-count=workstation".',
    fallback: () => undefined,
    fallbackText: 'this computer',
  }),
} as const
