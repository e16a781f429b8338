import { shellWord } from './command-text.ts'
import { podPlaces, type Places } from './places.ts'

/** How long the script needs at most to write down an end after it has killed the job. */
export const endingMs = 2000

/** What the script answers with when a job did not end by itself; the words in `exit` and `message` tell the same. */
export const exitCodes = { timeout: 124, notRun: 125 } as const

/**
 * POSIX shell text, for busybox's `sh`, that runs the job of a container to its end and writes down how it ended: in
 * the words of `readEnd`, in one go, to the file `exit` and as the container's termination message. It ends with the
 * job's own exit code, with 124 after its wall time, and with 125 where it could not be run. It needs nothing but the
 * busybox in `places`.
 *
 * The job's program leads a session of its own, so that all of it can be asked to end: it gets SIGTERM after the wall
 * time or when the script gets one, and SIGKILL `stopGraceMs` later. Its two streams go to files; another process
 * copies what comes into them to the container's own, which is the pod's log: at most 16 MiB a second of each, so that
 * a flood neither slows the job nor keeps it from ending. The shell that waits for the program does nothing else, and
 * no signal interrupts it: ash that is interrupted while it waits may lose how its child ended. It says
 * which signal ended the program, on the standard error that `note` is, of all but SIGINT and SIGPIPE: those look like
 * the exit codes 130 and 141. SIGINT and SIGQUIT are ignored in the job: shells without a terminal do that
 * to what they start beside themselves.
 */
export function startScript(
  { wallTimeMs, stopGraceMs }: { readonly wallTimeMs?: number | undefined; readonly stopGraceMs: number },
  places: Places = podPlaces,
): string {
  const graceSeconds = stopGraceMs / 1000
  return `exec 5>&2 2>/dev/null
molehill_busybox=${shellWord(places.busybox)}
molehill_directory=${shellWord(places.job)}
molehill_message=${shellWord(places.message)}
molehill_end() {
  echo "$*" >"$molehill_directory/exit"
  echo "$*" >"$molehill_message"
}
molehill_signal() { read -r molehill_group <"$molehill_directory/group" && kill "-$1" "-$molehill_group"; }
molehill_pause() {
  molehill_before=$!
  trap '[ "$!" = "$molehill_before" ] || kill "$!"; exit 0' TERM
  [ -s "$molehill_directory/exit" ] && exit 0
  "$molehill_busybox" sleep "$1" &
  wait "$!"
}
molehill_kill() { molehill_pause ${graceSeconds}; molehill_signal KILL; }
molehill_watch() {
  molehill_pause "$1"
  true >"$molehill_directory/late"
  molehill_signal TERM
  molehill_kill
}
molehill_stop() {
  trap '' TERM INT QUIT HUP
  [ "$molehill_killer" ] && return
  molehill_kill >/dev/null 5>&- & molehill_killer=$!
  true >"$molehill_directory/stopping"
  molehill_signal TERM
}
molehill_copy() { "$molehill_busybox" dd bs=65536 count=128; }
molehill_follow() {
  molehill_before=$!
  trap '[ "$!" = "$molehill_before" ] || kill "$!"' TERM
  until [ -s "$molehill_directory/exit" ]; do
    molehill_copy <&3
    molehill_copy <&4 >&5
    "$molehill_busybox" sleep 0.5 >/dev/null 5>&- &
    wait "$!"
  done
  molehill_copy <&3
  molehill_copy <&4 >&5
}
molehill_keep() {
  trap : TERM HUP USR1 USR2
  cd "$molehill_directory/work" || { molehill_end "failed The directory $molehill_directory/work cannot be entered."; return; }
  unset OLDPWD
  ( exec "$molehill_busybox" setsid "$molehill_busybox" sh -c ${shellWord(leaderText)} sh "$molehill_busybox" "$molehill_directory" </dev/null >>"$molehill_directory/stdout" 2>>"$molehill_directory/stderr" )
  molehill_code=$?
  if [ -e "$molehill_directory/late" ]; then molehill_end timeout
  elif [ "$molehill_code" -gt 128 ] && [ -s "$molehill_directory/note" ]; then molehill_end "signal $((molehill_code - 128))"
  else molehill_end "exited $molehill_code"; fi
}
molehill_watcher= molehill_killer=
if true >>"$molehill_directory/stdout" && true >>"$molehill_directory/stderr"; then
  ${wallTimeMs === undefined ? '' : `molehill_watch ${wallTimeMs / 1000} >/dev/null 5>&- & molehill_watcher=$!`}
  trap molehill_stop TERM INT QUIT HUP
  molehill_follow 3<"$molehill_directory/stdout" 4<"$molehill_directory/stderr" & molehill_follower=$!
  molehill_keep 5>&- 2>"$molehill_directory/note" & molehill_keeper=$!
  while kill -0 "$molehill_keeper"; do wait "$molehill_keeper"; done
  molehill_signal KILL
  [ -s "$molehill_directory/exit" ] || molehill_end "abandoned What waited for the job was killed."
  for molehill_process in $molehill_watcher $molehill_killer $molehill_follower; do kill "$molehill_process"; done
  while kill -0 "$molehill_follower"; do wait "$molehill_follower"; done
else
  molehill_end "failed Its logs could not be made in $molehill_directory."
fi
molehill_word= molehill_code=
read -r molehill_word molehill_code <"$molehill_directory/exit"
case $molehill_word in
  exited) exit "$molehill_code" ;;
  signal) exit "$((molehill_code + 128))" ;;
  timeout) exit ${exitCodes.timeout} ;;
esac
exit ${exitCodes.notRun}
`
}

/** Becomes the job. Whoever asks it to end leaves a mark first, and it leaves its number before it looks for one. */
const leaderText = `molehill_busybox=$1
echo $$ >"$2/group"
if [ -e "$2/late" ] || [ -e "$2/stopping" ]; then exit 143; fi
. "$2/command"`
