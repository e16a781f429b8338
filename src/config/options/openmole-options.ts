import { onOff } from '../option-kinds.ts'
import { option } from './option.ts'

/** How clients of OpenMOLE are served. */
export const openmoleOptions = {
  gzipDownloads: option<boolean>({
    name: 'gzip-downloads',
    kind: onOff,
    description: 'Pack downloaded directories with gzip when the client does not say, as OpenMOLE 9.2 did.',
    fallback: () => false,
  }),
} as const
