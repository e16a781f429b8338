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
 * copies what comes into them to the container's own, which is the pod's log: at most 16 MiB of each at a look, and the
 * job's end waits for it some seconds at most. The shell that waits for the program does nothing else, and says which
 * signal ended it, on the standard error that `note` is: of all but SIGINT and SIGPIPE, which look like the exit codes
 * 130 and 141. SIGINT and SIGQUIT are ignored in the job: shells without a terminal do that to what they start beside
 * themselves.
 *
 * No shell here uses `wait`: ash that gets signals while it does may lose how a child ended, or wait for ever (busybox
 * 1.35). They look again and again instead, first ten times a second, after half a minute once. A clock is a `sleep`
 * that is gone.
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
molehill_looks=0
molehill_look() {
  molehill_looks=$((molehill_looks + 1))
  if [ "$molehill_looks" -lt 10 ]; then "$molehill_busybox" sleep 0.1
  elif [ "$molehill_looks" -lt 60 ]; then "$molehill_busybox" sleep 0.5
  else "$molehill_busybox" sleep 1; fi
}
molehill_copy() { "$molehill_busybox" dd bs=65536 count=256; }
molehill_follow() {
  until [ -s "$molehill_directory/exit" ]; do
    molehill_copy <&3
    molehill_copy <&4 >&5
    molehill_look
  done
  molehill_copy <&3
  molehill_copy <&4 >&5
}
molehill_stop() {
  true >"$molehill_directory/$1"
  molehill_signal TERM
  "$molehill_busybox" sleep ${graceSeconds} >/dev/null 5>&- & molehill_grace=$!
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
trap '[ -s "$molehill_directory/exit" ] || molehill_end "failed No process could be started in the container any more."' EXIT
molehill_clock= molehill_grace= molehill_asked=
if true >>"$molehill_directory/stdout" && true >>"$molehill_directory/stderr"; then
  trap molehill_asked=1 TERM INT QUIT HUP
  ${wallTimeMs === undefined ? '' : `"$molehill_busybox" sleep ${wallTimeMs / 1000} >/dev/null 5>&- & molehill_clock=$!`}
  molehill_follow 3<"$molehill_directory/stdout" 4<"$molehill_directory/stderr" & molehill_follower=$!
  molehill_keep 5>&- 2>"$molehill_directory/note" & molehill_keeper=$!
  until [ -s "$molehill_directory/exit" ] || ! kill -0 "$molehill_keeper"; do
    molehill_look
    if [ "$molehill_grace" ]; then kill -0 "$molehill_grace" || molehill_signal KILL
    elif [ "$molehill_clock" ] && ! kill -0 "$molehill_clock"; then molehill_looks=0; molehill_stop late
    elif [ "$molehill_asked" ]; then molehill_looks=0; molehill_stop stopping; fi
  done
  molehill_signal KILL
  [ -s "$molehill_directory/exit" ] || molehill_end "abandoned What waited for the job was killed."
  for molehill_process in $molehill_clock $molehill_grace; do kill -KILL "$molehill_process"; done
  molehill_looks=0
  while kill -0 "$molehill_follower" && [ "$molehill_looks" -lt 20 ]; do molehill_look; done
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
