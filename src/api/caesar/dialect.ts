import { z } from 'zod'
import type { Dialect } from '../route.ts'
import { accountingRoutes } from './accounting-routes.ts'
import { tellCaesarProblem } from './answers.ts'
import { appRoutes } from './app-routes.ts'
import { fileRoutes } from './file-routes.ts'
import { jobRoutes } from './job-routes.ts'
import { outputRoutes } from './output-routes.ts'
import type { CaesarRooms } from './parts.ts'
import { submitRoute } from './submit-route.ts'

/** The REST API of caesar-rest: uploads, apps and jobs, for clients of all its generations. */
export function caesarDialect(rooms: CaesarRooms): Dialect {
  return {
    name: 'caesar',
    mount: rooms.settings.mount,
    tellProblem: tellCaesarProblem,
    ...(rooms.settings.takesQueryToken && { authenticate: identifyByQuery(rooms) }),
    problemSchema: z
      .looseObject({ status: z.string().meta({ description: 'What is wrong, for people.' }) })
      .meta({ id: 'CaesarProblem' }),
    kept: keptOfUsers(rooms),
    routes: [
      ...fileRoutes(rooms),
      ...appRoutes(rooms),
      submitRoute(rooms),
      ...jobRoutes(rooms),
      ...outputRoutes(rooms),
      ...accountingRoutes(rooms),
    ],
  }
}

function keptOfUsers({ files, store }: CaesarRooms): NonNullable<Dialect['kept']> {
  return {
    storedBytes: (owner) => files.storedBytes(owner) + store.recordedBytes(owner),
    async forget(owner) {
      store.removeOlder(owner, Infinity)
      await files.removeOlder(owner, Infinity)
    },
  }
}

/** The bearer token, or as caesar-rest has it, one in the query string instead: some clients send no header. */
function identifyByQuery({ authentication }: CaesarRooms): NonNullable<Dialect['authenticate']> {
  return async ({ header, parameter }) => {
    const bearer = /^bearer +(\S+) *$/i.exec(header('authorization') ?? '')?.[1]
    return authentication.identify(bearer ?? parameter('access_token'))
  }
}
