/**
 * Why `result` cannot leave the function: the place in it and what stands there; or undefined when it is data. Values
 * travel as JSON, numbers that JSON lacks included.
 */
export function findForeign(result: unknown, place = 'the result', depth = 0): string | undefined {
  switch (typeof result) {
    case 'number':
    case 'string':
    case 'boolean':
      return undefined
    case 'undefined':
      return depth === 0 ? undefined : `${place} is undefined`
    case 'bigint':
      return `${place} is a bigint`
    case 'symbol':
    case 'function':
      return `${place} is a ${typeof result}`
    case 'object':
      return result === null ? undefined : findInObject(result, place, depth)
  }
}

function findInObject(result: object, place: string, depth: number): string | undefined {
  if (depth > 100) return `${place} is nested more than 100 deep, or holds itself`
  if (Array.isArray(result)) {
    for (let index = 0; index < result.length; index += 1) {
      const found = findForeign(result[index], `${place}[${index}]`, depth + 1)
      if (found !== undefined) return found
    }
    return undefined
  }
  const prototype: unknown = Object.getPrototypeOf(result)
  if (prototype !== Object.prototype && prototype !== null) return `${place} is ${describeClass(result)}`
  for (const [key, value] of Object.entries(result)) {
    // A property without a value is the same as none.
    if (value === undefined) continue
    const found = findForeign(value, depth === 0 ? key : `${place}.${key}`, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}

function describeClass(result: object): string {
  const { name } = result.constructor
  const article = /^[AEIOU]/.test(name) ? 'an' : 'a'
  return ArrayBuffer.isView(result)
    ? `${article} ${name}, which Array.from makes an array of`
    : `${article} ${name}`
}
