import { z } from 'zod'
import type { V1PodTemplateSpec } from '@kubernetes/client-node'

/** Plain data as JSON has it. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }
type JsonObject = { readonly [key: string]: Json }

/** Containers that every pod of ours has; a template may add others and change the rest of these. */
export const stagingContainers = { in: 'stage-in', out: 'stage-out' } as const
export const mainContainer = 'main'
/** The volume that holds a job's files. */
export const jobVolume = 'molehill'
/** The claim that holds what many jobs share, where there is one. */
export const claimVolume = 'molehill-claim'

/** Fields of our containers without which no job would start or end as it should. */
const oursInContainers = ['command', 'args', 'image', 'workingDir', 'terminationMessagePath'] as const
const oursInSpec = ['restartPolicy', 'activeDeadlineSeconds', 'shareProcessNamespace'] as const

/** An overlay over the template of pods, as plain data. What it must not touch is refused. */
export const podTemplate = z.record(z.string(), z.json()).superRefine((template, context) => {
  const refuse = (path: readonly string[], message: string) => {
    context.addIssue({ code: 'custom', path: [...path], message })
  }
  for (const key of Object.keys(template))
    if (key !== 'metadata' && key !== 'spec') refuse([key], 'expected metadata or spec')
  for (const part of ['metadata', 'spec'] as const)
    if (template[part] !== undefined && !isObject(template[part])) refuse([part], 'expected an object')
  const spec = isObject(template['spec']) ? template['spec'] : {}
  for (const field of oursInSpec)
    if (spec[field] !== undefined) refuse(['spec', field], 'is set by Molehill itself')
  for (const list of ['containers', 'initContainers'] as const)
    for (const message of refusalsOfContainers(spec[list])) refuse(['spec', list], message)
  for (const volume of [jobVolume, claimVolume])
    if (itemsOf(spec['volumes']).some(({ name }) => name === volume))
      refuse(['spec', 'volumes'], `the volume ${volume} is Molehill's own`)
  const metadata = isObject(template['metadata']) ? template['metadata'] : {}
  for (const kind of ['labels', 'annotations'] as const)
    if (
      Object.keys(isObject(metadata[kind]) ? metadata[kind] : {}).some((key) => key.startsWith('molehill/'))
    )
      refuse(['metadata', kind], 'keys that begin with molehill/ are kept for Molehill itself')
})

function refusalsOfContainers(list: Json | undefined): readonly string[] {
  if (list === undefined) return []
  if (!Array.isArray(list) || !list.every((item) => isObject(item) && typeof item['name'] === 'string'))
    return ['expected a list of containers, each with its name']
  const ours = new Set<Json | undefined>([mainContainer, stagingContainers.in, stagingContainers.out])
  return itemsOf(list)
    .filter(({ name }) => ours.has(name))
    .flatMap((container) =>
      oursInContainers
        .filter((field) => container[field] !== undefined)
        .map(
          (field) =>
            `${field} of the container ${JSON.stringify(container['name'])} is set by Molehill itself`,
        ),
    )
}

/** What items of a list are told apart by, in the order in which it is looked for: a mount's name is its volume's. */
const keysOfItems = ['mountPath', 'name'] as const

/**
 * The overlay merged over the base: objects field by field; lists of objects item by item where all have a `mountPath`
 * or a `name`, new ones at the end; any other value replaces what was there, and null removes it. That is what a
 * strategic merge patch does to pods, without its directives.
 */
export function merge(base: Json | undefined, overlay: Json): Json {
  if (Array.isArray(overlay)) return Array.isArray(base) ? mergeLists(base, overlay) : overlay
  if (!isObject(overlay)) return overlay
  const merged: Record<string, Json> = isObject(base) ? { ...base } : {}
  for (const [key, value] of Object.entries(overlay)) {
    if (value === null) delete merged[key]
    else merged[key] = merge(Object.hasOwn(merged, key) ? merged[key] : undefined, value)
  }
  return merged
}

function mergeLists(base: readonly Json[], overlay: readonly Json[]): readonly Json[] {
  const key = keysOfItems.find((name) =>
    [...base, ...overlay].every((item) => isObject(item) && item[name] !== undefined),
  )
  if (key === undefined || overlay.length === 0) return overlay
  const merged = [...base]
  for (const item of overlay) {
    const at = merged.findIndex((known) => isObject(known) && isObject(item) && known[key] === item[key])
    if (at === -1) merged.push(item)
    else merged[at] = merge(merged[at], item)
  }
  return merged
}

/** The template of a pod with an overlay of the options merged over it. */
export function withOverlay(template: V1PodTemplateSpec, overlay: JsonObject): V1PodTemplateSpec {
  // The types of the client are classes, but what we make is plain data.
  return merge(template as unknown as Json, overlay) as unknown as V1PodTemplateSpec
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function itemsOf(list: Json | undefined): readonly JsonObject[] {
  return Array.isArray(list) ? (list as readonly Json[]).filter(isObject) : []
}
