/*
 * Bash texts that are run on hosts, for many jobs at once. `$1` is the base directory; lists come on standard input.
 * Loops use what bash does itself: a program for each job would cost a millisecond each.
 */

/** Makes the base directory that `$1` names and says where it is, then what bash and which programs are there. */
export const openText = `(( BASH_VERSINFO[0] >= 4 )) || { echo "bash $BASH_VERSION is older than 4.0." >&2; exit 1; }
case $1 in
  '~') base=$HOME ;;
  '~/'*) base=$HOME/\${1#'~/'} ;;
  *) base=$1 ;;
esac
umask 077
mkdir -p -- "$base/executions" "$base/shared" && cd -- "$base" || exit 1
for program in tar mv rm mkdir chmod find realpath sha256sum mktemp; do
  type -P "$program" >/dev/null || { echo "The program $program is missing." >&2; exit 1; }
done
pwd -P`

/** Bash text that writes to a directory what bash then complains about: tar tells of a full disk only how far it came. */
export const probeText = `probe() {
  local file
  file=$(mktemp "$1/new.XXXXXXXX") && printf '%065536d' 0 >"$file"
  rm -f -- "$file"
}`

export const prepareText = `${probeText}
cd -- "$1" || exit 1
umask 077
tar -x -P -m -f - --no-same-owner || { probe shared; exit 1; }`

/** For each job directory one line: \`absent\`, or whether it was cancelled, its host and its end, between tabs. */
export const lookText = `cd -- "$1" || exit 1
while IFS= read -r job; do
  if [[ ! -d $job ]]; then echo absent; continue; fi
  host= end= cancelled=-
  [[ -e $job/cancelled ]] && cancelled=cancelled
  { IFS= read -r host <"$job/started"; } 2>/dev/null
  { IFS= read -r end <"$job/exit" || end=; } 2>/dev/null
  printf '%s\\t%s\\t%s\\n' "$cancelled" "$host" "$end"
done`

export const cancelText = `cd -- "$1" || exit 1
while IFS= read -r job; do
  if [[ -d $job && ! -e $job/exit ]]; then : >"$job/cancelled" || left=$job; fi
done
[[ -z \${left-} ]] || { echo "$left cannot be marked as cancelled." >&2; exit 1; }`

/** For each job id the lines \`id key note\` of the directories that are there. */
export const findText = `cd -- "$1" || exit 1
shopt -s nullglob
keys=(executions/*/jobs)
while IFS= read -r id; do
  for jobs in "\${keys[@]}"; do
    note=
    if { IFS= read -r note <"$jobs/$id/command"; } 2>/dev/null; then
      key=\${jobs#executions/}
      printf '%s %s %s\\n' "$id" "\${key%/jobs}" "\${note#'# '}"
    fi
  done
done`

/** For each path that can be read: its size in bytes, the path, and the content. */
export const readText = `cd -- "$1" || exit 1
while IFS= read -r path; do
  text=
  { IFS= read -r -d '' text <"$path"; } 2>/dev/null
  [[ $text ]] && printf '%s\\n%s%s\\n' "$path" "$text" "$2"
done
true`

/** The last `$3` bytes of both logs of the job `$2`, in whole lines. */
export const printedText = `cd -- "$1/$2" 2>/dev/null || exit 0
for log in stdout stderr; do
  [[ -f $log ]] || continue
  if (( $(wc -c <"$log") > $3 )); then tail -c "$3" -- "$log" | sed 1d; else cat -- "$log"; fi
done
true`

/** Deletes job directories, then the directory of each batch that has no job left. */
export const removeText = `cd -- "$1" || exit 1
declare -A batches
jobs=()
while IFS= read -r job; do
  [[ -d $job ]] || continue
  jobs+=("$job")
  batch=
  { read -r _ batch _ <"$job/command"; } 2>/dev/null
  [[ $batch && $batch != */* ]] && batches[\${job%/jobs/*}/batches/$batch]=1
done
if (( \${#jobs[@]} > 0 )); then
  printf '%s\\0' "\${jobs[@]}" | xargs -0 rm -rf -- 2>/dev/null
  for job in "\${jobs[@]}"; do
    for try in 1 2 3 4 5; do
      [[ -e $job ]] || break
      (( try > 1 )) && sleep 0.2
      chmod -R u+rwX -- "$job" 2>/dev/null
      rm -rf -- "$job"
    done 2>/dev/null
    [[ -e $job ]] && left=$job
  done
  for batch in "\${!batches[@]}"; do
    mapfile -t ids 2>/dev/null <"$batch/jobs" || continue
    used=
    for id in "\${ids[@]}"; do
      if [[ -e \${batch%/batches/*}/jobs/$id ]]; then used=1; break; fi
    done
    [[ $used ]] || rm -rf -- "$batch"
  done
fi
[[ -z \${left-} ]] || { echo "$left cannot be deleted." >&2; exit 1; }`

export const discardText = `cd -- "$1" || exit 1
place=executions/$2
if [[ -d $place ]]; then
  mv -T -- "$place" "$place.gone.$$" || exit 1
fi
shopt -s nullglob
for place in "$place".gone.*; do
  rm -rf -- "$place" 2>/dev/null || { chmod -R u+rwX -- "$place"; rm -rf -- "$place"; } || exit 1
done`

/**
 * Writes a tar stream with the logs and outputs of jobs after the line \`$2\`. Only files and directories go in, from
 * inside the job directory, or through links from inside the tree that its view leads to. An output that holds
 * anything else is left out. Some systems' tar writes PAX unless told otherwise: see `receiveOutputs`.
 */
export const collectText = `cd -- "$1" || exit 1
base=$PWD
is_plain() {
  local at=$1/work rest=$2
  while :; do
    at=$at/\${rest%%/*}
    [[ -L $at ]] && return 1
    [[ $rest == */* ]] || break
    rest=\${rest#*/}
  done
  if [[ -f $at ]]; then [[ -r $at ]]; return; fi
  [[ -d $at && -z $(find "$at" \\( ! -type f ! -type d -o ! -readable -o -type d ! -executable \\) -print -quit) ]]
}
bring() {
  local real name
  real=$(realpath -e -- "$1") || return 1
  case $real in
    "$base/$job/work"/* | "$tree"/*) ;;
    *) return 1 ;;
  esac
  if [[ -f $real ]]; then cp -- "$real" "$2"; return; fi
  [[ -d $real ]] && (( $3 < 64 )) && mkdir -- "$2" || return 1
  for name in "$real"/*; do bring "$name" "$2/\${name##*/}" $(( $3 + 1 )) || return 1; done
}
list() {
  shopt -s nullglob dotglob
  while IFS= read -r job; do
    [[ -f $job/command ]] || continue
    printf '%s\\0' "$job/command"
    for log in stdout stderr; do
      [[ -f $job/$log && ! -L $job/$log && -r $job/$log ]] && printf '%s\\0' "$job/$log"
    done
    {
      IFS= read -r -d '' command
      IFS= read -r -d '' tree
      while IFS= read -r -d '' plain && IFS= read -r -d '' path && IFS= read -r -d '' need; do
        if is_plain "$job" "$plain"; then printf '%s\\0' "$job/work/$plain"
        elif [[ -e $job/work/$plain ]]; then
          followed=$job/followed/$plain
          rm -rf -- "$followed"
          if [[ $followed == */* ]] && mkdir -p -- "\${followed%/*}" && bring "$job/work/$plain" "$followed" 0; then
            printf '%s\\0' "$followed"
          fi
        fi
      done
    } <"$job/command"
  done
}
printf '%s\\n' "$2"
list 2>/dev/null | tar -c -f - --format=gnu --null --no-unquote --hard-dereference -T -
(( PIPESTATUS[1] <= 1 ))`

/** Which bash it is, what time it is there, how much room the base has, whether it can be written, and whether there is tar. */
export const inspectText = `cd -- "$1" || exit 1
printf '%s\\n' "$BASH_VERSION" "$(date +%s)"
df -P -k . | tail -n 1
file=$(mktemp shared/new.XXXXXXXX) && printf x >"$file" && echo writable || echo 'not writable'
rm -f -- "$file"
tar --version >/dev/null 2>&1 && echo tar || echo 'no tar'`
