/**
 * Paths of fields that were sent and did not come back, such as `spec.podReplacementPolicy`: older API servers drop
 * what they do not know without a word. Items of lists are found again by `name` or `mountPath`, else by their place.
 * A field that came back with another value was understood. Empty values (`{}`, `[]`, `''`, false, 0) may be left out
 * by any server. Of what was lost as a whole, only the whole is named.
 */
export function lostFields(sent: unknown, kept: unknown): readonly string[] {
  return lostBelow(sent, kept, '')
}

function lostBelow(sent: unknown, kept: unknown, path: string): readonly string[] {
  if (sent === undefined || sent === null || isEmpty(sent)) return []
  if (kept === undefined || kept === null) return [path]
  if (Array.isArray(sent)) {
    if (!Array.isArray(kept)) return [path]
    return sent.flatMap((item: unknown, at) =>
      lostBelow(item, sameItem(item, kept, at), `${path}[${labelOf(item, at)}]`),
    )
  }
  if (!isRecord(sent) || !isRecord(kept)) return []
  return Object.entries(sent).flatMap(([key, value]) =>
    lostBelow(value, kept[key], path === '' ? key : `${path}.${key}`),
  )
}

const keys = ['mountPath', 'name'] as const

function sameItem(item: unknown, kept: readonly unknown[], at: number): unknown {
  const key = keyOf(item)
  if (key === undefined || !isRecord(item)) return kept[at]
  return kept.find((other) => isRecord(other) && other[key] === item[key])
}

function labelOf(item: unknown, at: number): string {
  const key = keyOf(item)
  return key !== undefined && isRecord(item) ? String(item[key]) : String(at)
}

function keyOf(item: unknown): (typeof keys)[number] | undefined {
  return isRecord(item) ? keys.find((key) => typeof item[key] === 'string') : undefined
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  return isRecord(value) ? Object.keys(value).length === 0 : value === '' || value === false || value === 0
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
