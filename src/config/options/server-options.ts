import { number, onOff, path, text } from '../option-kinds.ts'
import { option } from './option.ts'

/** Where the server keeps its data, and where it listens. */
export const serverOptions = {
  dataDirectory: option<string>({
    name: 'data-directory',
    kind: path,
    description: 'Where executions, their files and the password are kept. Only its owner may enter it.',
    fallback: ({ stateDirectory }) => `${stateDirectory}/molehill`,
    fallbackText: '$XDG_STATE_HOME/molehill or ~/.local/state/molehill',
  }),
  host: option<string>({
    name: 'host',
    kind: text,
    description: 'Address to listen on. Anything but a loopback address opens the server to the network.',
    fallback: () => '127.0.0.1',
  }),
  port: option<number>({
    name: 'port',
    kind: number({ minimum: 0, maximum: 65_535 }),
    description: 'Port to listen on; 0 takes a free one.',
    fallback: () => 8443,
  }),
  http: option<boolean>({
    name: 'http',
    kind: onOff,
    description: 'Plain HTTP instead of HTTPS: for use behind a proxy that speaks HTTPS.',
    fallback: () => false,
  }),
  jobFilesPort: option<number | undefined>({
    name: 'job-files-port',
    kind: number({ minimum: 0, maximum: 65_535 }),
    description:
      'Another port, of plain HTTP, where jobs elsewhere fetch their files and nothing else is served; 0 takes a free one.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  tlsCert: option<string | undefined>({
    name: 'tls-cert',
    kind: path,
    description: 'Certificate for HTTPS (PEM, with the chain behind it). Goes with tls-key.',
    fallback: () => undefined,
    fallbackText: 'a self-signed certificate made at the first start',
  }),
  tlsKey: option<string | undefined>({
    name: 'tls-key',
    kind: path,
    description: 'Private key of the certificate (PEM, not encrypted). Goes with tls-cert.',
    fallback: () => undefined,
    fallbackText: 'the key of the self-signed certificate',
  }),
} as const
