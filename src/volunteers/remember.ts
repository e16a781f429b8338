/**
 * The same function, which remembers its last answers: for what is dear to find and never changes.
 *
 * @param atMost answers that are kept; then all are forgotten
 */
export function remember<Key, Answer>(find: (key: Key) => Answer, atMost: number): (key: Key) => Answer {
  const known = new Map<Key, Answer>()
  return (key) => {
    if (known.has(key)) return known.get(key) as Answer
    const answer = find(key)
    if (known.size >= atMost) known.clear()
    known.set(key, answer)
    return answer
  }
}
