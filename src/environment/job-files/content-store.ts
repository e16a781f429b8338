import type { Host } from '../host.ts'
import { runScript } from './host-script.ts'
import type { Content } from './scan-tree.ts'
import { sendContent } from './send-content.ts'

/** Where a content lies on the host, below the base. */
export function contentPath({ hash }: Pick<Content, 'hash'>): string {
  return `shared/${hash}/content`
}

/** Content that no execution uses any more, and that is not part of one, stays so long after its last use. */
const keptDays = 7

/**
 * Contents on a host, each in `shared/HASH/content`, sent once and never changed. `shared/HASH/users` has a file for
 * each execution that uses it; `shared/HASH/kept` stands where it stays for some days after the last one.
 */
export class ContentStore {
  readonly #host: Host
  readonly #newMark: () => string
  /** One after the other: two callers often need the same content. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(host: Host, newMark: () => string) {
    this.#host = host
    this.#newMark = newMark
  }

  /** Puts what is missing on the host, and marks each content as used by the execution. */
  async ensure(
    base: string,
    key: string,
    contents: readonly { readonly content: Content; readonly isKept: boolean }[],
    signal: AbortSignal,
  ): Promise<void> {
    await this.#exclusively(async () => {
      const lines = contents.map(({ content, isKept }) => `${content.hash} ${isKept ? 'kept' : '-'}\n`)
      const what = { what: 'looking for shared files', text: claimText, below: base, words: [key] }
      const answer = await runScript(this.#host, { ...what, input: lines.join('') }, this.#newMark(), signal)
      const present = new Set(answer.split('\n'))
      for (const { content, isKept } of contents) {
        if (present.has(content.hash)) continue
        await sendContent(this.#host, base, content, this.#newMark, signal)
        const input = `${content.hash} ${isKept ? 'kept' : '-'}\n`
        await runScript(this.#host, { ...what, input }, this.#newMark(), signal)
      }
    })
  }

  /** Takes an execution off the users of every content, and deletes what nobody uses. */
  async release(base: string, key: string, signal: AbortSignal): Promise<void> {
    await this.#exclusively(async () => {
      const script = {
        what: 'deleting shared files',
        text: releaseText,
        below: base,
        words: [key, String(keptDays)],
      }
      await runScript(this.#host, { ...script, timeoutMs: 600_000 }, this.#newMark(), signal)
    })
  }

  async #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work, work)
    this.#last = result.catch(() => undefined)
    return result
  }
}

/** Reads `HASH kept|-` lines, says which are there, and marks those as used by the execution `$2`. */
const claimText = `cd -- "$1" || exit 1
while read -r hash kept; do
  [[ -e shared/$hash/content ]] || continue
  mkdir -p "shared/$hash/users" && : >"shared/$hash/users/$2" || exit 1
  if [[ $kept == kept ]]; then : >"shared/$hash/kept" || exit 1; fi
  if [[ -e shared/$hash/content ]]; then printf '%s\\n' "$hash"; fi
done`

const releaseText = `cd -- "$1" || exit 1
for place in shared/*/; do
  place=\${place%/}
  [[ $place != 'shared/*' && $place != shared/new.* && $place != shared/tree.* ]] || continue
  rm -f -- "$place/users/$2"
  if [[ -e $place/kept && -n $(find "$place/kept" -mtime "-$3") ]]; then continue; fi
  rmdir -- "$place/users" 2>/dev/null || continue
  mv -T -- "$place" "$place.gone" && chmod -R u+w "$place.gone" && rm -rf -- "$place.gone"
done
find shared -maxdepth 1 \\( -name 'new.*' -o -name 'part.*' -o -name 'tree.*' -o -name '*.gone' \\) -mtime +2 -exec chmod -R u+w {} + -exec rm -rf -- {} +
true`
