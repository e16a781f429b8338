import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { EnvironmentError } from '../environment.ts'
import type { Host } from '../host.ts'
import { fileChunks } from './file-chunks.ts'
import { runScript } from './host-script.ts'
import { probeText } from './host-texts.ts'
import type { Content } from './scan-tree.ts'
import { tarBytes, type TarEntry } from './tar-stream.ts'
import { unlimitedMs, watched, watchTransfer, type TransferWatch } from './transfer-watch.ts'

/** A file from this size on goes on where it was broken off. */
const resumableBytes = 8 * 1024 ** 2
/** What else is sent of a tree at a time: the pieces that have arrived stay after a break. */
const pieceBytes = 32 * 1024 ** 2
const pieceEntries = 10_000
const idleMs = 120_000

type FileEntry = TarEntry & { readonly kind: 'file' }

/**
 * Puts a content on the host, below `base`. What was there of it after a break is not sent again. It appears in its place
 * when it is whole: by the SHA-256 of each large file, and by the number and sizes of all.
 *
 * @throws EnvironmentError when the host cannot be asked, nothing moves for two minutes, or it arrives otherwise than sent.
 */
export async function sendContent(
  host: Host,
  base: string,
  content: Content,
  newMark: () => string,
  signal: AbortSignal,
): Promise<void> {
  const watch = watchTransfer(`${host.name}: sending shared files`, idleMs, signal)
  const sending: Sending = {
    watch,
    ask: async (what, text, words, input = '') => {
      const all = [content.hash, ...words]
      const script = { what, text, below: base, words: all, input, timeoutMs: unlimitedMs }
      return runScript(host, script, newMark(), watch.signal)
    },
  }
  try {
    const pieces = piecesOf(content.entries)
    const [first] = pieces
    if (pieces.length === 1 && first?.kind === 'files') {
      await sending.ask('unpacking shared files', unpackText, [], tarStream(first.entries, watch))
      return
    }
    const begun = await lookAtBegun(sending, pieces.length)
    for (const [index, piece] of pieces.entries()) {
      const mark = `${index}.${pieces.length}`
      if (begun.done.has(mark)) continue
      if (piece.kind === 'files')
        await sending.ask('unpacking shared files', unpackPieceText, [mark], tarStream(piece.entries, watch))
      else if (!(await sendFile(sending, piece.file, mark, begun.partBytes.get(mark) ?? 0)))
        throw new EnvironmentError(
          `${host.name}: the file ${piece.file.from} arrives with another content than it has here. Does it change?`,
        )
    }
    const fileCount = content.entries.filter(({ kind }) => kind === 'file').length
    const size = [String(fileCount), String(content.bytes)]
    await sending.ask('looking at shared files that have arrived', publishText, size)
  } finally {
    watch.stop()
  }
}

interface Sending {
  readonly watch: TransferWatch
  /** Runs bash text on the host and gives what it printed. `$1` is the base, `$2` the hash of the content. */
  readonly ask: (
    what: string,
    text: string,
    words: readonly string[],
    input?: Readable | string,
  ) => Promise<string>
}

type Piece =
  | { readonly kind: 'files'; readonly entries: readonly TarEntry[] }
  | { readonly kind: 'large-file'; readonly file: FileEntry }

function piecesOf(entries: readonly TarEntry[]): readonly Piece[] {
  const pieces: Piece[] = []
  let together: TarEntry[] = []
  let bytes = 0
  for (const entry of entries) {
    const entryBytes = entry.kind === 'file' ? entry.sizeBytes : 0
    const isFull = together.length >= pieceEntries || bytes + entryBytes > pieceBytes
    if (entry.kind === 'file' && entryBytes >= resumableBytes) {
      pieces.push({ kind: 'large-file', file: entry })
      together = []
    } else if (together.length > 0 && !isFull) {
      together.push(entry)
      bytes += entryBytes
    } else {
      together = [entry]
      bytes = entryBytes
      pieces.push({ kind: 'files', entries: together })
    }
  }
  return pieces
}

function tarStream(entries: readonly TarEntry[], watch: TransferWatch): Readable {
  return Readable.from(watched(tarBytes(entries), watch), { objectMode: false })
}

async function lookAtBegun({ ask }: Sending, count: number) {
  const answer = await ask('looking for files that were begun', begunText, [String(count)])
  const done = new Set<string>()
  const partBytes = new Map<string, number>()
  for (const line of answer.split('\n')) {
    const [kind, mark = '', bytes] = line.split(' ')
    if (kind === 'done') done.add(mark)
    else if (kind === 'part') partBytes.set(mark, Number(bytes))
  }
  return { done, partBytes }
}

function restOf({ from }: FileEntry, start: number, watch: TransferWatch): Readable {
  return Readable.from(watched(fileChunks(from, start), watch), { objectMode: false, highWaterMark: 1 })
}

/** Whether it has arrived as it is here. A part that is too long or turns out to be wrong is deleted, and all is sent. */
async function sendFile(
  { ask, watch }: Sending,
  file: FileEntry,
  mark: string,
  partBytes: number,
): Promise<boolean> {
  const words = [mark, file.path, file.mode.toString(8), file.sha256 ?? '', String(file.sizeBytes)]
  for (const start of partBytes <= file.sizeBytes ? [partBytes, 0] : [0]) {
    const input = start === file.sizeBytes ? '' : restOf(file, start, watch)
    const how = start === 0 ? 'anew' : 'on'
    const verdict = await ask('receiving a large file', appendText, [...words, how], input)
    if (verdict.trim() === 'whole') return true
  }
  return false
}

const sumOfNothing = createHash('sha256').digest('hex')

const publish = `publish() {
  mkdir "$1/users" || exit 1
  mv -T -- "$1" "shared/$2" 2>/dev/null && return
  [[ -e shared/$2/content ]] || { echo "shared/$2 cannot be made." >&2; exit 1; }
  chmod -R u+w "$1"; rm -rf -- "$1"
}`

const unpackText = `${publish}
${probeText}
cd -- "$1" || exit 1
umask 077
new=$(mktemp -d "shared/new.XXXXXXXX") || exit 1
tar -x -P -f - --no-same-owner -C "$new" || { probe "$new"; chmod -R u+w "$new"; rm -rf -- "$new"; exit 1; }
chmod -R a-w "$new/content" || exit 1
publish "$new" "$2"`

/** Which of `$3` pieces have arrived, and how many bytes of others. */
const begunText = `cd -- "$1" || exit 1
umask 077
tree=shared/tree.$2
mkdir -p "$tree/done" || exit 1
shopt -s nullglob
for mark in "$tree/done"/*."$3"; do printf 'done %s\\n' "\${mark##*/}"; done
for part in "$tree"/part.*."$3"; do printf 'part %s %s\\n' "\${part##*/part.}" "$(wc -c <"$part")"; done`

const unpackPieceText = `${probeText}
cd -- "$1" || exit 1
umask 077
tar -x -P -f - --no-same-owner -C "shared/tree.$2" && : >"shared/tree.$2/done/$3" || { probe shared; exit 1; }`

/**
 * Adds to the part `$3`, which becomes the file `$4` when it has `$7` bytes whose SHA-256 is `$6`. The sum is made while
 * the bytes come, by openssl where it works: the sha256sum of some systems takes four times as long. A part that is too
 * short was cut off, and stays.
 */
const appendText = `cd -- "$1/shared/tree.$2" || exit 1
umask 077
set -o pipefail
part=part.$3 sum=(sha256sum) tee=(tee)
if [[ $8 == anew ]]; then : >"$part" || exit 1; fi
[[ $(openssl dgst -sha256 -r </dev/null 2>/dev/null) == ${sumOfNothing}* ]] && sum=(openssl dgst -sha256 -r)
# A full disk is to be told at once.
"\${tee[@]}" --output-error=exit </dev/null 2>/dev/null && tee+=(--output-error=exit)
digest=$({ cat "$part" && "\${tee[@]}" -a "$part"; } | "\${sum[@]}") && bytes=$(wc -c <"$part") || exit 1
if (( bytes < $7 )); then echo short
elif (( bytes > $7 )) || [[ \${digest%% *} != "$6" ]]; then rm -f -- "$part"; echo damaged
else chmod "$5" "$part" && mv -fT -- "$part" "$4" && : >"done/$3" && echo whole
fi`

/** What has other than `$3` files of `$4` bytes is deleted. */
const publishText = `${publish}
cd -- "$1" || exit 1
tree=shared/tree.$2 count=0 bytes=0
[[ -e $tree ]] || { [[ -e shared/$2/content ]]; exit; }
while read -r size; do (( count += 1, bytes += size )); done < <(find "$tree/content" -type f -printf '%s\\n')
if [[ "$count $bytes" != "$3 $4" ]]; then
  chmod -R u+w "$tree"; rm -rf -- "$tree"
  echo "$count files of $bytes bytes have arrived instead of $3 of $4." >&2
  exit 1
fi
rm -rf -- "$tree/done" && chmod -R a-w "$tree/content" && publish "$tree" "$2"`
