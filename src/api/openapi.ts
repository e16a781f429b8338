import { z } from 'zod'
import { problems, type ProblemCode } from '../problem.ts'
import { problemSchema } from './problem-answer.ts'
import type { Route } from './route.ts'

type JsonObject = Record<string, unknown>

/** What can go wrong at every route that reads parameters. */
const problemsEverywhere: readonly ProblemCode[] = [
  'body-invalid',
  'body-too-large',
  'server-busy',
  'internal',
]

const problemReference = { $ref: '#/components/schemas/Problem' }

/** OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1) of the routes, from the schemas that check them. */
export function describeApi(routes: readonly Route[], version: string): JsonObject {
  const paths: Record<string, JsonObject> = {}
  for (const route of routes) {
    const path = (paths[route.path] ??= {})
    path[route.method.toLowerCase()] = describeRoute(route)
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Molehill',
      version,
      summary: 'A workflow engine behind a REST API in the manner of OpenMOLE',
      description:
        'Parameters of POST routes may come in the query string, as application/x-www-form-urlencoded or as ' +
        'multipart/form-data, also mixed. The token may come as the parameter `token` or as a bearer token; with a ' +
        'file it must come before the file. Times are milliseconds since 1970.',
    },
    paths,
    components: {
      schemas: { Problem: jsonSchema(problemSchema, 'output') },
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        parameter: { type: 'apiKey', in: 'query', name: 'token' },
      },
    },
  }
}

function describeRoute(route: Route): JsonObject {
  return {
    operationId: operationId(route.path),
    summary: route.summary,
    ...(route.access === 'token' ? { security: [{ bearer: [] }, { parameter: [] }] } : { security: [] }),
    ...(route.method === 'POST' ? describeBody(route) : {}),
    responses: { [route.answer.status]: describeAnswer(route), ...describeProblems(route) },
  }
}

function describeBody({ parameters, archive, access, insteadOfArchive, filePrefix }: Route): JsonObject {
  const fields = jsonSchema(parameters, 'input')
  const token = { type: 'string', description: 'Unless it comes as a bearer token.' }
  const properties = { ...(access === 'token' ? { token } : {}), ...asObject(fields.properties) }
  const schema = { ...fields, properties }
  const required = Array.isArray(fields.required) ? fields.required : []
  if (archive === undefined)
    return {
      requestBody: {
        content: { 'application/x-www-form-urlencoded': { schema }, 'multipart/form-data': { schema } },
      },
    }
  const file = { type: 'string', format: 'binary' }
  const isMandatory = insteadOfArchive === undefined
  const withFiles = {
    ...schema,
    properties: { ...properties, [archive]: { ...file, description: 'The work directory as tar.gz.' } },
    ...(filePrefix !== undefined && {
      patternProperties: {
        [`^${filePrefix.replaceAll('.', '[.]')}`]: {
          ...file,
          description: 'A file for the input whose name follows the dot; several for an array of files.',
        },
      },
    }),
    ...(isMandatory && { required: [...required, archive] }),
  }
  return {
    requestBody: {
      required: isMandatory,
      content: {
        'multipart/form-data': { schema: withFiles },
        ...(!isMandatory && { 'application/x-www-form-urlencoded': { schema } }),
      },
    },
  }
}

function describeAnswer(route: Route): JsonObject {
  const { description } = route.answer
  if (route.kind === 'json')
    return {
      description,
      content: { 'application/json': { schema: jsonSchema(route.answer.schema, 'output') } },
    }
  const { contentType } = route.answer
  return contentType === undefined ? { description } : { description, content: { [contentType]: {} } }
}

function describeProblems(route: Route): JsonObject {
  const codes = new Set<ProblemCode>([
    ...(route.access === 'token' ? (['token-invalid'] as const) : []),
    ...route.problems,
    ...(route.method === 'POST' ? problemsEverywhere : (['internal'] as const)),
  ])
  const byStatus = Map.groupBy(codes, (code) => problems[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      {
        description: codes.map((code) => `${code}: ${problems[code].title}.`).join(' '),
        content: { 'application/problem+json': { schema: problemReference } },
      },
    ]),
  )
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): JsonObject {
  const { $schema: _, id: __, ...described } = z.toJSONSchema(schema, { io })
  return described
}

function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function operationId(path: string): string {
  return path === '/'
    ? 'page'
    : path.slice(1).replaceAll(/[^a-zA-Z]+(.)/g, (_, letter: string) => letter.toUpperCase())
}
