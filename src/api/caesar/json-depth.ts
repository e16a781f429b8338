/** Deeper JSON than this is nobody's. */
const deepest = 32

/** Whether JSON is so deep that going through it could use up the stack. */
export function isTooDeep(value: unknown, levels = deepest): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((each) => isTooDeep(each, levels - 1))
}
