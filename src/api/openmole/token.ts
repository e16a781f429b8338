import { z } from 'zod'
import type { Login } from '../access/login.ts'
import { jsonRoute, type Route } from '../route.ts'

export function tokenRoutes(login: Login): readonly Route[] {
  return [
    jsonRoute({
      method: 'POST',
      path: '/token',
      summary: 'Get a token for the password. All other POST routes ask for it.',
      access: 'open',
      audit: 'login',
      parameters: z.object({ password: z.string().optional() }),
      problems: ['password-missing', 'password-wrong', 'password-throttled', 'server-busy'],
      answer: {
        status: 202,
        description: 'A token.',
        schema: z.object({
          token: z.string(),
          duration: z.int().meta({ description: 'How long it is good for, in milliseconds.' }),
        }),
      },
      async handle({ parameters, address, note }) {
        const { token, principal, durationMs } = await login(parameters.password, address)
        note({ principal })
        return { token, duration: durationMs }
      },
    }),
  ]
}
