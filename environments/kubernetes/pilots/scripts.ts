import { shellWord } from '../scripts/command-text.ts'
import { presentText } from '../scripts/staging-scripts.ts'
import { pilotPlaces, type PilotPlaces } from './places.ts'

/*
 * POSIX shell texts for the busybox of the staging image. The first two are commands of containers, where Kubernetes reads
 * `$$` as `$`; the others are run by exec in `stage-out`, which lives as long as the pilot.
 */

/** Container `stage-in`: leaves its own busybox for `main`, and makes what all of them use. Every user may write there. */
export function layOutText({ root, busybox, message }: PilotPlaces = pilotPlaces): string {
  return `umask 0
molehill_busybox=$(command -v busybox)
# A shell that knows it as a command of its own tells no path: then all its commands are busybox.
case $molehill_busybox in /*) ;; *) molehill_busybox=/proc/self/exe ;; esac
cd ${shellWord(root)} && mkdir -p bin shared jobs inbox new && true >log && cp "$molehill_busybox" ${shellWord(`${busybox}.new`)} && chmod 0755 ${shellWord(`${busybox}.new`)} && mv ${shellWord(`${busybox}.new`)} ${shellWord(busybox)} || {
  echo "The staging image holds no busybox that can be copied." | tee ${shellWord(message)} >&2
  exit 1
}
[ -p wake ] || mkfifo wake
exit 0
`
}

/** Container `stage-out`: lives until the loop is over and all that jobs left is gone, at most so long after that. */
export function keepText(limitMs: number, { root }: PilotPlaces = pilotPlaces): string {
  return `trap 'exit 143' TERM
cd ${shellWord(root)} || exit 1
until [ -e done ]; do sleep 1; done
# Whoever follows hears the end.
sleep 2
molehill_left=${Math.max(1, Math.ceil(limitMs / 1000))}
while [ "$molehill_left" -gt 0 ]; do
  molehill_kept=
  for molehill_each in jobs/*; do [ ! -e "$molehill_each" ] || molehill_kept=1; done
  [ "$molehill_kept" ] || break
  molehill_left=$((molehill_left - 1))
  sleep 1
done
exit 0
`
}

/** The loop takes no more jobs: nothing was put there. */
export const closedCode = 3

const enterText = `umask 0
cd "$MOLEHILL_ROOT" || exit 1
`

/**
 * Takes as many bytes of a tar stream as `$1` says, since standard input has no end, under the name `$2`: `shared`,
 * `jobs` and, last, `list`. What is there already stays as it is; the list goes in when all is there, in one go. May be
 * repeated with the same name.
 */
export const deliverText = `echo
${enterText}head -c "$1" | {
  new=new/$2
  rm -rf "$new"
  mkdir "$new" && tar -x -f - -C "$new" && [ -e "$new/list" ] && chmod -R a+rwX "$new/jobs" && { [ ! -d "$new/shared" ] || chmod -R a+rX "$new/shared"; }
  code=$?
  cat >/dev/null
  if [ "$code" = 0 ]; then
    for each in "$new"/shared/* "$new"/jobs/*; do
      place=\${each#"$new"/}
      if [ -e "$each" ] && [ ! -e "$place" ]; then mv "$each" "$place" || code=1; fi
    done
  fi
  if [ "$code" = 0 ]; then
    chmod a+rw "$new/list"
    if [ -d inbox ] && mv "$new/list" "inbox/$2"; then true
    elif [ -d closed ]; then code=${closedCode}
    else code=1; fi
  fi
  if [ "$code" != 0 ] && [ -e "$new/list" ]; then
    while read -r id rest; do [ -e "jobs/$id/started" ] || rm -rf "jobs/$id"; done <"$new/list"
  fi
  rm -rf "$new"
  echo look 1<>wake
  exit "$code"
}`

/**
 * Says how everything is, then what becomes of jobs: lines of `log`. First `begin`, and `waiting ID`, `started ID`,
 * `cancelled ID` or `ended ID WORDS` for each job that has a directory, `content HASH` for what many share, `closed` where
 * no job begins any more, and `listed`. Ends when another one with another `$1` has begun, and after some minutes.
 */
export const followText = `cd "$MOLEHILL_ROOT" && echo "$1" >follower && exec 3<log || exit 1
head -c "$(wc -c <log)" <&3 >/dev/null
echo begin
for each in jobs/*; do
  [ -d "$each" ] || continue
  id=\${each#jobs/} words=
  if [ ! -s "$each/exit" ]; then
    if [ -e "$each/started" ]; then echo "started $id"; else echo "waiting $id"; fi
  elif [ -e "$each/cancelled" ]; then echo "cancelled $id"
  else read -r words <"$each/exit"; echo "ended $id $words"; fi
done
for each in shared/*; do [ ! -d "$each" ] || echo "content \${each#shared/}"; done
[ -d inbox ] || echo closed
echo listed
looks=0 quiet=0
while [ "$looks" -lt 3000 ]; do
  looks=$((looks + 1)) quiet=$((quiet + 1))
  while read -r line <&3; do echo "$line"; quiet=0; done
  read -r mark <follower && [ "$mark" = "$1" ] || exit 0
  [ "$((looks % 20))" != 0 ] || echo
  if [ "$quiet" -lt 50 ]; then sleep 0.1; else sleep 0.5; fi
done`

/**
 * `$1` is `cancel` or `release`, the others are ids: cancelled jobs end if they have not yet; released ones leave nothing,
 * at the latest when they have ended.
 */
export const endText = `echo
${enterText}what=$1
shift
for id; do
  [ -d "jobs/$id" ] || continue
  if [ "$what" = release ]; then
    true >"jobs/$id/released"
    # With its directory a job that waits has lost its place.
    if [ -s "jobs/$id/exit" ] || [ ! -e "jobs/$id/started" ]; then rm -rf "jobs/$id"; fi
  fi
  [ ! -d "jobs/$id" ] || [ -s "jobs/$id/exit" ] || true >"jobs/$id/cancelled"
done
echo look 1<>wake
exit 0`

/** Deletes shared contents, whose hashes are the words. */
export const dropText = `echo
cd "$MOLEHILL_ROOT/shared" && chmod -R u+w "$@" && rm -rf "$@"`

/**
 * Packs what is there of the paths that shell text names, which is as many bytes of standard input as `$1` says: it sets
 * the positional parameters. What links lead to counts.
 */
export const packText = `cd "$MOLEHILL_ROOT" || exit 1
eval "$(head -c "$1")"
${presentText}
printf '%s\\n' "$MOLEHILL_MARK"
[ "$#" = 0 ] || exec tar -c -h -f - "$@"`

/** The end of both streams of the job `$1`, at most so many bytes of each as `$2` says. */
export const printedText = `cd "$MOLEHILL_ROOT/jobs/$1" || exit 0
for each in stdout stderr; do [ ! -e "$each" ] || tail -c "$2" "$each"; done
exit 0`
