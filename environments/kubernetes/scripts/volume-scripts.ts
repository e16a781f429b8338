/*
 * POSIX shell texts for busybox, run by exec in the container that has a claim mounted. `$1` is the environment's own
 * directory in the claim: below it lies `shared/HASH/content`, and `shared/HASH/users` with a file for each execution that
 * uses it; `shared/HASH/kept` stands where it stays for some days after the last one.
 */

/** How often the container looks whether it is still needed. */
const lookSeconds = 5

/** Text of the container itself: it ends when nothing was done in it for so long. */
export function carrierText(idleMs: number, usedMark: string): string {
  return `trap 'exit 0' TERM
molehill_idle=0
while [ "$molehill_idle" -lt ${Math.ceil(idleMs / 1000)} ]; do
  if [ -e ${usedMark} ]; then rm -f ${usedMark}; molehill_idle=0; fi
  sleep ${lookSeconds}
  molehill_idle=$((molehill_idle + ${lookSeconds}))
done
exit 0
`
}

/** Goes before each of the others: prints an empty line, and says that the container is needed as long as the shell lives. */
export function usedText(usedMark: string): string {
  return `echo
umask 022
: >${usedMark}
( while kill -0 $$; do : >${usedMark}; sleep ${lookSeconds}; done ) </dev/null >/dev/null 2>&1 &
`
}

/**
 * Words `HASH kept|-` after the execution `$2`: says which of them are there, and marks those as used by it. What an
 * earlier life of the server had begun to bring is deleted: one server brings one thing at a time.
 */
export const claimText = `mkdir -p "$1/shared" && cd "$1/shared" || exit 1
key=$2
shift 2
for new in new.*; do
  [ ! -e "$new" ] || { chmod -R u+w "$new"; rm -rf "$new"; }
done
while [ "$#" -gt 1 ]; do
  if [ -e "$1/content" ]; then
    mkdir -p "$1/users" && : >"$1/users/$key" || exit 1
    [ "$2" != kept ] || : >"$1/kept" || exit 1
    echo "$1"
  fi
  shift 2
done`

/** Unpacks `$3` bytes below `new.$2`. All input is read, also by a failure: else nobody would be told of that. */
export const unpackText = `head -c "$3" | {
  mkdir -p "$1/shared/new.$2" && cd "$1/shared/new.$2" && tar -x -f -
  code=$?
  cat >/dev/null
  exit "$code"
}`

/** Makes `new.$2` the content `$3`, when there are `$4` files of `$5` bytes. */
export const publishText = `cd "$1/shared" || exit 1
new=new.$2
files=$(find "$new/content" -type f | wc -l)
bytes=$(find "$new/content" -type f -exec stat -c %s {} + | awk '{ sum += $1 } END { printf "%.0f", sum }')
if [ "$((files)) $bytes" != "$4 $5" ]; then
  chmod -R u+w "$new"
  rm -rf "$new"
  echo "$((files)) files of $bytes bytes have arrived instead of $4 of $5." >&2
  exit 1
fi
chmod -R a+rX,a-w "$new/content" && chmod a+rx "$new" && mkdir "$new/users" || exit 1
rm -rf "$3"
mv "$new" "$3"`

/** Makes directories with the names after `$2` in `$2`, where jobs may leave their outputs. */
export const makeKeptText = `mkdir -p "$1/$2" && cd "$1/$2" || exit 1
shift 2
mkdir -p "$@"`

/** Says `there` where a job has left its outputs in the file `$2`. */
export const lookKeptText = `[ ! -e "$1/$2" ] || echo there`

/** The file `$2` after a line that is `$3`. */
export const readKeptText = `printf '%s\\n' "$3"
exec cat "$1/$2"`

/** Takes the execution `$2` off the users of every content, and deletes what nobody has used for `$3` days, and its directory `$4`. */
export const releaseText = `rm -rf "$1/$4"
cd "$1/shared" 2>/dev/null || exit 0
for place in *; do
  [ -d "$place/users" ] || continue
  rm -f "$place/users/$2"
  if [ -e "$place/kept" ] && [ -n "$(find "$place/kept" -mtime "-$3")" ]; then continue; fi
  rmdir "$place/users" 2>/dev/null || continue
  chmod -R u+w "$place"
  rm -rf "$place"
done
true`
