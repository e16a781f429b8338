import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { EnvironmentError } from '../environment.ts'
import type { Host } from '../host.ts'
import { runScript } from './host-script.ts'
import type { Content } from './scan-tree.ts'
import { tarBytes } from './tar-stream.ts'
import { unlimitedMs, watched, watchTransfer } from './transfer-watch.ts'

/** Where a content lies on the host, below the base. */
export function contentPath({ hash }: Pick<Content, 'hash'>): string {
  return `shared/${hash}/content`
}

/** Single files from this size on can be sent in pieces: what is there after a break stays. */
const resumableBytes = 8 * 1024 ** 2
const idleMs = 120_000
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
      const what = { what: 'looking for shared files', text: claimText, words: [base, key] }
      const answer = await runScript(this.#host, { ...what, input: lines.join('') }, this.#newMark(), signal)
      const present = new Set(answer.split('\n'))
      for (const { content, isKept } of contents) {
        if (present.has(content.hash)) continue
        await this.#send(base, content, signal)
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
        words: [base, key, String(keptDays)],
      }
      await runScript(this.#host, { ...script, timeoutMs: 600_000 }, this.#newMark(), signal)
    })
  }

  async #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work, work)
    this.#last = result.catch(() => undefined)
    return result
  }

  async #send(base: string, content: Content, signal: AbortSignal): Promise<void> {
    const watch = watchTransfer(`${this.#host.name}: sending shared files`, idleMs, signal)
    try {
      const [entry] = content.entries
      if (content.sha256 !== undefined && entry?.kind === 'file' && content.bytes >= resumableBytes)
        await this.#sendFile(base, content, { ...entry, sha256: content.sha256 }, watch)
      else {
        const script = { what: 'unpacking shared files', text: unpackText, words: [base, content.hash] }
        const input = Readable.from(watched(tarBytes(content.entries), watch), { objectMode: false })
        const run = { ...script, input, timeoutMs: unlimitedMs }
        await runScript(this.#host, run, this.#newMark(), watch.signal)
      }
    } finally {
      watch.stop()
    }
  }

  async #sendFile(
    base: string,
    { hash, bytes }: Content,
    file: { readonly from: string; readonly mode: number; readonly sha256: string },
    watch: ReturnType<typeof watchTransfer>,
  ): Promise<void> {
    const place = { words: [base, hash, String(bytes), file.sha256, file.mode.toString(8)] }
    // A part that is too long or turns out to be wrong is deleted there, and all is sent.
    for (let tries = 0; tries < 2; tries += 1) {
      const size = { what: 'looking for a file that was begun', text: sizeText, ...place }
      const answer = await runScript(this.#host, size, this.#newMark(), watch.signal)
      const there = Number(answer.trim())
      const rest = createReadStream(file.from, { start: there, highWaterMark: 256 * 1024 })
      const input =
        there === bytes ? '' : Readable.from(watched(rest, watch), { objectMode: false, highWaterMark: 4 })
      const send = { what: 'receiving a large file', text: appendText, input, ...place }
      const run = { ...send, timeoutMs: unlimitedMs }
      const verdict = await runScript(this.#host, run, this.#newMark(), watch.signal)
      if (verdict.trim() === 'whole') return
    }
    throw new EnvironmentError(
      `${this.#host.name}: the file ${file.from} arrives with another content than it has here. Does it change?`,
    )
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

const publish = `publish() {
  mkdir "$1/users" || exit 1
  mv -T -- "$1" "shared/$2" 2>/dev/null && return
  [[ -e shared/$2/content ]] || { echo "shared/$2 cannot be made." >&2; exit 1; }
  chmod -R u+w "$1"; rm -rf -- "$1"
}`

const unpackText = `${publish}
cd -- "$1" || exit 1
umask 077
new=$(mktemp -d "shared/new.XXXXXXXX") || exit 1
tar -x -P -f - --no-same-owner -C "$new" || { chmod -R u+w "$new"; rm -rf -- "$new"; exit 1; }
chmod -R a-w "$new/content" || exit 1
publish "$new" "$2"`

const sizeText = `cd -- "$1" || exit 1
size=0
if [[ -f shared/part.$2 ]]; then
  size=$(wc -c <"shared/part.$2") || exit 1
  if (( size > $3 )); then rm -f -- "shared/part.$2"; size=0; fi
fi
printf '%s\\n' "$size"`

const appendText = `${publish}
cd -- "$1" || exit 1
umask 077
part=shared/part.$2
cat >>"$part" || exit 1
read -r sum rest < <(sha256sum "$part")
if [[ $sum != "$4" ]]; then rm -f -- "$part"; echo damaged
else
  new=$(mktemp -d "shared/new.XXXXXXXX") && mv -- "$part" "$new/content" && chmod "$5" "$new/content" || exit 1
  publish "$new" "$2"
  echo whole
fi`

const releaseText = `cd -- "$1" || exit 1
for place in shared/*/; do
  place=\${place%/}
  [[ $place != 'shared/*' && $place != shared/new.* ]] || continue
  rm -f -- "$place/users/$2"
  if [[ -e $place/kept && -n $(find "$place/kept" -mtime "-$3") ]]; then continue; fi
  rmdir -- "$place/users" 2>/dev/null || continue
  mv -T -- "$place" "$place.gone" && chmod -R u+w "$place.gone" && rm -rf -- "$place.gone"
done
find shared -maxdepth 1 \\( -name 'new.*' -o -name 'part.*' -o -name '*.gone' \\) -mtime +2 -exec chmod -R u+w {} + -exec rm -rf -- {} +
true`
