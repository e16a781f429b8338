import type { PilotTimes } from '../../../src/environment/batch/pilot-script.ts'
import { shellWord } from '../scripts/command-text.ts'
import { pilotPlaces, type PilotPlaces } from './places.ts'

/**
 * POSIX shell text, for busybox's `sh`, of a pilot's container `main`: it keeps its slots busy with the jobs of the lists
 * in `inbox`, until its time is over or nothing has come for a while. It needs nothing but the busybox in `places`.
 *
 * It sleeps until a line comes through the pipe `wake`: `ended ID` from the keeper of a job, or `look` from whoever has
 * brought something; each second it looks by itself, also where there can be no pipe. A job costs two processes besides
 * its own. Its keeper waits for it and does nothing else, since ash that gets signals while it waits may lose how a child
 * ended, and writes the file `exit` in the words of `readEnd`. The job leads a session of its own, which is killed at its
 * end. A job that does not fit before the pilot's end is given back by the line `refused`.
 *
 * Kubernetes reads `$$` in commands as `$`: it must not be in the text.
 */
export function loopScript(
  { slots, times }: { readonly slots: number; readonly times: PilotTimes },
  { root, busybox }: PilotPlaces = pilotPlaces,
): string {
  const { grace, idle, work, spare } = times
  return `exec 2>/dev/null
molehill_busybox=${shellWord(busybox)}
molehill_root=${shellWord(root)}
cd "$molehill_root" || exit 1
mask=$(umask)
umask 0
now() { read -r now rest </proc/uptime; now=\${now%%.*}; }
say() { echo "$*" >>log; echo "$*"; }
signal() { read -r group <"jobs/$1/group" && kill "-$2" "-$group"; }
end() {
  until echo "$2" >"$molehill_root/jobs/$1/exit" && [ -s "$molehill_root/jobs/$1/exit" ]; do
    [ -d "$molehill_root/jobs/$1" ] || break
    "$molehill_busybox" sleep 1
  done
  echo "ended $1" 1<>"$molehill_root/wake"
}
keep() {
  trap : TERM INT HUP USR1 USR2
  here=$molehill_root/jobs/$1
  cd "$here/work" || { end "$1" "failed The directory $here/work cannot be entered."; return; }
  unset OLDPWD
  umask "$mask"
  ( exec "$molehill_busybox" setsid "$molehill_busybox" sh -c ${shellWord(leaderText)} sh "$molehill_busybox" "$here" </dev/null >"$here/stdout" 2>"$here/stderr" )
  code=$?
  over=
  if [ ! -e "$here/stderr" ]; then end "$1" 'failed Its logs could not be made.'
  elif [ -e "$here/late" ]; then end "$1" timeout
  elif [ "$code" != 0 ] && [ -s "$molehill_root/over" ] && read -r over <"$molehill_root/over"; then end "$1" "abandoned $over"
  elif [ "$code" -gt 128 ] && [ -s "$here/note" ]; then end "$1" "signal $((code - 128))"
  else end "$1" "exited $code"; fi
}
launch() {
  true >"jobs/$1/started" || return 1
  count=$((count + 1))
  keep "$1" 2>"jobs/$1/note" 3>&- &
  eval "id_$count=\\$1 keeper_$count=\\$! need_$count=\\$2 until_$count= kill_$count="
  [ "$3" = 0 ] || eval "until_$count=$((now + $3 + 1))"
  running="$running $count" free=$((free - $2))
  say "started $1"
}
reap() {
  eval "id=\\$id_$1 keeper=\\$keeper_$1 free=\\$((free + need_$1))"
  unset "id_$1" "keeper_$1" "need_$1" "until_$1" "kill_$1"
  signal "$id" KILL
  wait "$keeper"
  left=
  for other in $running; do [ "$other" = "$1" ] || left="$left $other"; done
  running=$left
  tell "$id"
}
tell() {
  words=
  read -r words <"jobs/$1/exit"
  if [ -e "jobs/$1/cancelled" ]; then say "cancelled $1"; else say "ended $1 $words"; fi
  [ ! -e "jobs/$1/released" ] || "$molehill_busybox" rm -rf "jobs/$1"
}
stop() {
  true >"jobs/$2/$3"
  signal "$2" TERM
  eval "kill_$1=$((now + ${grace}))"
}
take() {
  for list in inbox/*; do
    [ -f "$list" ] || continue
    while read -r id need seconds; do queue="$queue $id/$need/$seconds"; done <"$list"
    "$molehill_busybox" rm -f "$list"
  done
}
close() {
  "$molehill_busybox" mv inbox closed || return
  if [ -z "$over" ]; then
    for list in closed/*; do
      [ -f "$list" ] || continue
      "$molehill_busybox" mv closed inbox
      quiet=$now
      return
    done
  fi
  say closed
}
look() {
  looked=$now
  [ "$over" ] || [ "$now" -lt "$deadline" ] || over='had no time left'
  if [ "$over" ] && [ ! -e over ]; then
    echo "The pilot that ran it $over." >over
    close
    queue=
  fi
  take
  # Whatever command it waits for, the shell sees which children have ended.
  [ -z "$running" ] || "$molehill_busybox" true
  for each in $running; do
    eval "id=\\$id_$each keeper=\\$keeper_$each end=\\$until_$each killing=\\$kill_$each"
    if [ -s "jobs/$id/exit" ]; then reap "$each"
    elif ! kill -0 "$keeper"; then
      echo 'abandoned What waited for the job was killed.' >"jobs/$id/exit"
      reap "$each"
    elif [ "$killing" ]; then [ "$now" -lt "$killing" ] || signal "$id" KILL
    elif [ "$end" ] && [ "$now" -ge "$end" ]; then stop "$each" "$id" late
    elif [ "$over" ] || [ -e "jobs/$id/cancelled" ]; then stop "$each" "$id" stopping; fi
  done
}
fill() {
  later= blocked=
  for entry in $queue; do
    id=\${entry%%/*} words=\${entry#*/}
    need=\${words%%/*} seconds=\${words#*/}
    if [ ! -d "jobs/$id" ] || [ -e "jobs/$id/started" ]; then continue; fi
    if [ -e "jobs/$id/cancelled" ]; then
      echo 'signal 15' >"jobs/$id/exit"
      tell "$id"
    elif [ "$((now + (seconds > 0 ? seconds : ${spare})))" -ge "$deadline" ]; then
      "$molehill_busybox" rm -rf "jobs/$id"
      say "refused $id"
      full=1
    elif [ "$blocked" ] || [ "$need" -gt "$free" ] || ! launch "$id" "$need" "$seconds"; then
      blocked=1 later="$later $entry"
    fi
  done
  queue=$later
}
now
deadline=$((now + ${work})) quiet=$now looked= over= full= queue= running= count=0 free=${slots}
trap 'over=\${over:-was asked to end}' TERM INT HUP
pipe=
[ -p wake ] && [ -r wake ] && [ -w wake ] && exec 3<>wake && pipe=1
say open
while :; do
  word= id=
  if [ "$pipe" ]; then read -r -t 1 word id <&3; else "$molehill_busybox" sleep 0.2; fi
  now
  if [ "$word" = ended ]; then
    for each in $running; do
      eval "known=\\$id_$each"
      if [ "$known" = "$id" ]; then reap "$each"; break; fi
    done
  fi
  if [ "$word" != ended ] || [ "$now" != "$looked" ]; then look; fi
  [ -z "$queue" ] || fill
  if [ "$running$queue" ]; then quiet=$now
  elif [ "$over$full" ] || [ "$((now - quiet))" -ge ${idle} ]; then
    [ -d closed ] || close
    if [ -d closed ]; then true >done; exit 0; fi
  fi
done
`
}

/** Becomes the job. Whoever asks it to end leaves a mark first, and it leaves its number before it looks for one. */
const leaderText = `molehill_busybox=$1
read -r molehill_group molehill_rest </proc/self/stat
echo "$molehill_group" >"$2/group"
if [ -e "$2/late" ] || [ -e "$2/stopping" ]; then exit 143; fi
. "$2/command"`
