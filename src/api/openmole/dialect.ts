import type { Catalog } from '../../catalog/contract.ts'
import type { Executions } from '../../engine/contract.ts'
import type { Login } from '../access/login.ts'
import { answerProblem, problemSchema } from '../problem-answer.ts'
import type { Dialect } from '../route.ts'
import { catalogRoutes } from './catalog.ts'
import { controlRoutes } from './control.ts'
import { environmentRoutes } from './environments.ts'
import { eventRoutes } from './events.ts'
import { explainRoutes } from './explain.ts'
import { fileRoutes } from './files.ts'
import { jobRoutes } from './jobs.ts'
import { startRoutes } from './start.ts'
import { stateRoutes } from './state.ts'
import { tokenRoutes } from './token.ts'
import { userRoutes, type UserParts } from './users.ts'

export interface OpenmoleParts extends UserParts {
  readonly executions: Executions
  readonly catalog: Catalog
  readonly login: Login
  /** Whether files are downloaded as gzip bytes when the client does not say. */
  readonly gzipByDefault: boolean
}

/** The POST API of OpenMOLE 6.0 to 9.2, and what Molehill adds to it. */
export function openmoleDialect(parts: OpenmoleParts): Dialect {
  const { executions, catalog, login, gzipByDefault } = parts
  return {
    name: 'openmole',
    mount: '',
    tellProblem: answerProblem,
    problemSchema,
    routes: [
      ...tokenRoutes(login),
      ...startRoutes(executions, catalog),
      ...stateRoutes(executions),
      ...fileRoutes(executions, gzipByDefault),
      ...jobRoutes(executions),
      ...controlRoutes(executions),
      ...eventRoutes(executions),
      ...explainRoutes(executions),
      ...environmentRoutes(executions),
      ...catalogRoutes(catalog),
      ...userRoutes(parts),
    ],
  }
}
