import { z } from 'zod'
import { problems, type ProblemCode } from '../problem.ts'
import { problemContentType } from './problem-answer.ts'
import type { Dialect, Route } from './route.ts'

type JsonObject = Record<string, unknown>

/** What can go wrong at every route that reads parameters. */
const problemsEverywhere: readonly ProblemCode[] = [
  'body-invalid',
  'body-too-large',
  'server-busy',
  'internal',
]

/**
 * OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1) of the dialects that speak JSON, from the schemas that check them.
 * The problems of the first are told as RFC 9457 says.
 */
export function describeApi(dialects: readonly Dialect[], version: string): JsonObject {
  const paths: Record<string, JsonObject> = {}
  const schemas: Record<string, JsonObject> = {}
  for (const dialect of dialects) {
    if (dialect.problemSchema === undefined) continue
    const problem = nameProblem(dialect.problemSchema, dialect.name)
    schemas[problem.name] ??= problem.schema
    for (const route of dialect.routes) {
      const whole = `${dialect.mount}${route.path}`
      const others = dialect.routes.some(({ path, method }) => path === route.path && method !== route.method)
      const id = operationId(whole, others ? route.method : undefined)
      const path = (paths[templateOf(whole)] ??= {})
      path[route.method.toLowerCase()] = { operationId: id, ...describeRoute(route, whole, problem) }
    }
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
      schemas,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        parameter: { type: 'apiKey', in: 'query', name: 'token' },
      },
    },
  }
}

interface NamedProblem {
  readonly name: string
  readonly schema: JsonObject
  readonly contentType: string
}

/** Under the `id` of its schema, or else after the dialect. */
function nameProblem(schema: z.ZodType, dialect: string): NamedProblem {
  const id = schema.meta()?.id
  const own = `${dialect[0]?.toUpperCase() ?? ''}${dialect.slice(1)}Problem`
  return {
    name: id ?? own,
    schema: jsonSchema(schema, 'output'),
    contentType: id === 'Problem' ? (problemContentType.split(';', 1)[0] ?? '') : 'application/json',
  }
}

function describeRoute(route: Route, path: string, problem: NamedProblem): JsonObject {
  const parameters = [...describePlaceholders(path), ...describeQuery(route)]
  return {
    summary: route.summary,
    ...(parameters.length > 0 && { parameters }),
    ...(route.access === 'token' ? { security: [{ bearer: [] }, { parameter: [] }] } : { security: [] }),
    ...describeBody(route),
    responses: { [route.answer.status]: describeAnswer(route), ...describeProblems(route, problem) },
  }
}

/** `/jobs/:id{[0-9]+}` as `/jobs/{id}`. */
function templateOf(path: string): string {
  return path.replaceAll(placeholder, '{$1}')
}

const placeholder = /:(\w+)(?:\{(?:[^{}]|\{[^{}]*\})*\})?/g

function describePlaceholders(path: string): JsonObject[] {
  return [...path.matchAll(placeholder)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
}

/** Where there is no form, parameters come in the query string. */
function describeQuery({ method, body, parameters }: Route): JsonObject[] {
  if (method === 'POST' && body !== 'text') return []
  const fields = jsonSchema(parameters, 'input')
  const required = Array.isArray(fields.required) ? fields.required : []
  return Object.entries(asObject(fields.properties)).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
}

function describeBody(route: Route): JsonObject {
  const { method, parameters, archive, access, insteadOfArchive, filePrefix, file: named } = route
  if (route.body === 'text')
    return route.bodySchema === undefined
      ? {}
      : {
          requestBody: { content: { 'application/json': { schema: jsonSchema(route.bodySchema, 'input') } } },
        }
  if (method !== 'POST') return {}
  const fields = jsonSchema(parameters, 'input')
  const token = { type: 'string', description: 'Unless it comes as a bearer token.' }
  const properties = { ...(access === 'token' ? { token } : {}), ...asObject(fields.properties) }
  const schema = { ...fields, properties }
  const required = Array.isArray(fields.required) ? fields.required : []
  const file = { type: 'string', format: 'binary' }
  if (named !== undefined && archive === undefined)
    return {
      requestBody: {
        content: {
          'multipart/form-data': { schema: { ...schema, properties: { ...properties, [named]: file } } },
        },
      },
    }
  if (archive === undefined)
    return {
      requestBody: {
        content: { 'application/x-www-form-urlencoded': { schema }, 'multipart/form-data': { schema } },
      },
    }
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

function describeProblems(route: Route, { name, contentType }: NamedProblem): JsonObject {
  const codes = new Set<ProblemCode>([
    ...(route.access === 'token' ? (['token-invalid'] as const) : []),
    ...route.problems,
    ...(route.method !== 'GET' ? problemsEverywhere : (['internal'] as const)),
  ])
  const byStatus = Map.groupBy(codes, (code) => problems[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      {
        description: codes.map((code) => `${code}: ${problems[code].title}.`).join(' '),
        content: { [contentType]: { schema: { $ref: `#/components/schemas/${name}` } } },
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

/** A path with several methods has one for each. */
function operationId(path: string, method: string | undefined): string {
  const own = templateOf(path)
    .slice(1)
    .replaceAll(/[^a-zA-Z0-9]+(.)?/g, (_, letter: string | undefined) => letter?.toUpperCase() ?? '')
  if (method === undefined) return path === '/' ? 'page' : own
  return `${method.toLowerCase()}${own[0]?.toUpperCase() ?? ''}${own.slice(1)}`
}
