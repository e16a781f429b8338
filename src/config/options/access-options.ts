import { duration, onOff, path, text } from '../option-kinds.ts'
import { option } from './option.ts'

/** Who is let in. */
export const accessOptions = {
  passwordFile: option<string | undefined>({
    name: 'password-file',
    kind: path,
    description: 'File whose first line is the password. Only its owner may be able to read it.',
    fallback: () => undefined,
    fallbackText: 'asked on the terminal at the first start',
  }),
  tokenLifetimeMs: option<number>({
    name: 'token-lifetime',
    kind: duration({ minimum: 1000, maximum: 366 * 86_400_000 }),
    description: 'How long a token is good for.',
    fallback: () => 86_400_000,
  }),
  oidcIssuer: option<string | undefined>({
    name: 'oidc-issuer',
    kind: text,
    description:
      'OpenID Connect provider whose tokens are taken as those of users: its address, as its tokens name it.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  oidcAudience: option<string | undefined>({
    name: 'oidc-audience',
    kind: text,
    description: 'Whom tokens of the OpenID Connect provider must be meant for. Goes with oidc-issuer.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  oidcClient: option<string | undefined>({
    name: 'oidc-client',
    kind: text,
    description:
      'What the OpenID Connect provider calls this server, to ask there about tokens that are not signed. Goes with oidc-secret-file.',
    fallback: () => undefined,
    fallbackText: 'no such tokens are taken',
  }),
  oidcSecretFile: option<string | undefined>({
    name: 'oidc-secret-file',
    kind: path,
    description: 'File whose first line is the secret of oidc-client. Only its owner may be able to read it.',
    fallback: () => undefined,
    fallbackText: 'none',
  }),
  oidcNewUsers: option<boolean>({
    name: 'oidc-new-users',
    kind: onOff,
    description:
      'Whether everybody whom the OpenID Connect provider knows becomes a user when he comes first.',
    fallback: () => false,
  }),
} as const
