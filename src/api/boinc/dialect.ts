import type { Problem } from '../../problem.ts'
import type { Dialect } from '../route.ts'
import { accountRoutes } from './account-routes.ts'
import { downloadRoute } from './download-route.ts'
import type { VolunteerParts } from './parts.ts'
import { projectRoutes } from './project-routes.ts'
import { schedulerRoute } from './scheduler-route.ts'
import { statisticsRoutes } from './statistics-routes.ts'
import { uploadRoute } from './upload-route.ts'

/** BOINC's protocol between a project and the computers of its volunteers. */
export function boincDialect(mount: Dialect['mount'], parts: VolunteerParts): Dialect {
  return {
    name: 'boinc',
    mount,
    routes: [
      ...projectRoutes(parts),
      ...accountRoutes(parts),
      schedulerRoute(parts),
      downloadRoute(parts),
      uploadRoute(parts),
      ...statisticsRoutes(parts),
    ],
    tellProblem,
  }
}

/** Clients look at the status where they ask for a file, and people read the text. */
function tellProblem(problem: Problem): Response {
  const { status } = problem.telling
  const headers: Record<string, string> =
    problem.retryAfterSeconds === undefined ? {} : { 'retry-after': String(problem.retryAfterSeconds) }
  const text = problem.code === 'internal' ? 'Something unexpected happened.' : problem.message
  return new Response(`${text}\n`, {
    status,
    headers: { ...headers, 'content-type': 'text/plain; charset=utf-8' },
  })
}
