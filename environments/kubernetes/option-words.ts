import { z } from 'zod'

/*
 * Words of Kubernetes as it checks them itself (validation of apimachinery): what is refused here would be refused
 * there too, but only when the first job is made.
 */

/** Name of a namespace, claim, container and the like (RFC 1123 label). */
export const labelName = z
  .string()
  .max(63, { error: 'expected a name of at most 63 characters' })
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, {
    error: 'expected a name of lower-case letters, digits and hyphens, such as "simulations"',
  })

/** Name of most other objects (RFC 1123 subdomain): labels with dots between. */
export const objectName = z
  .string()
  .max(253, { error: 'expected a name of at most 253 characters' })
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/, {
    error: 'expected a name of lower-case letters, digits, hyphens and dots',
  })

const qualifiedPattern =
  /^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/

/** Key of a label or annotation, or name of a resource: `example.org/team`, `nvidia.com/gpu`. */
export const qualifiedName = z
  .string()
  .max(317, { error: 'expected a name of at most 317 characters' })
  .regex(qualifiedPattern, {
    error: 'expected letters, digits and - _ . with or without a prefix, such as "example.org/team"',
  })

export const labelText = z
  .string()
  .max(63, { error: 'expected at most 63 characters' })
  .regex(/^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$/, {
    error: 'expected letters, digits and - _ . that begin and end with a letter or digit',
  })

const noImage = 'expected the name of a container image, such as "python:3.13-slim"'

/** Reference to a container image: `python:3.13-slim`, `registry.example.org:5000/team/model@sha256:...`. */
export const imageName = z
  .string({ error: noImage })
  .max(512, { error: noImage })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/:@-]*$/, { error: noImage })

export const absolutePath = z
  .string()
  .max(4096)
  .regex(/^(?:\/|~\/)[^\0\r\n]*$/, { error: 'expected an absolute path, or one that begins with ~/' })

/** Values by names that `name` must take; zod itself would not tell what is wrong with a name. */
export function byName<Value extends z.ZodType>(name: z.ZodString, value: Value) {
  return z.record(z.string(), value).superRefine((given, context) => {
    for (const key of Object.keys(given))
      for (const { message } of name.safeParse(key).error?.issues ?? [])
        context.addIssue({ code: 'custom', path: [key], message })
  })
}

const foreignKey = { error: 'keys that begin with molehill/ are kept for Molehill itself' }
const isForeign = (given: Readonly<Record<string, string>>) =>
  Object.keys(given).every((key) => !key.startsWith('molehill/'))

export const labels = byName(qualifiedName, labelText).refine(isForeign, foreignKey).default({})

export const annotations = byName(qualifiedName, z.string().max(65_536))
  .refine(isForeign, foreignKey)
  .default({})
