/** Native ids of array jobs with neighbours put together: `7_1`, `7_2`, `7_3`, `9` become `7_[1-3]`, `9`. */
export function indexRanges(nativeIds: readonly string[]): readonly string[] {
  const arrays = new Map<string, number[]>()
  const words: string[] = []
  for (const nativeId of nativeIds) {
    const [id, index] = nativeId.split('_')
    if (index === undefined) words.push(nativeId)
    else arrays.set(id!, [...(arrays.get(id!) ?? []), Number(index)])
  }
  for (const [id, indices] of arrays) words.push(`${id}_[${ranges(indices).join(',')}]`)
  return words
}

/** Whole numbers as ranges: 3, 1, 2, 7 become `1-3`, `7`. */
function ranges(numbers: readonly number[]): readonly string[] {
  const parts: string[] = []
  let first: number | undefined
  let last = Number.NaN
  const close = () => {
    if (first !== undefined) parts.push(first === last ? `${first}` : `${first}-${last}`)
  }
  for (const number of [...new Set(numbers)].sort((a, b) => a - b)) {
    if (number !== last + 1) {
      close()
      first = number
    }
    last = number
  }
  close()
  return parts
}
