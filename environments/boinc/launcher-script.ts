import { channelFunctions } from './launcher-channels.ts'
import { packingFunctions } from './launcher-packing.ts'
import { processFunctions } from './launcher-processes.ts'

/** Names in a task's working directory. */
export const slotNames = {
  /** The work directory of the execution. */
  tree: 'tree.tar.gz',
  /** The task's own: `plan`, and for each job a directory `jobs/N`. */
  jobs: 'jobs.tar.gz',
  result: 'result.tar.gz',
  shared: (index: number) => `shared.${index}.tar.gz`,
} as const

/**
 * The program that BOINC clients on Unix run: POSIX shell text that needs sh, dd, tar, gzip, sed, tr and setsid there. It
 * runs the jobs of a task one after the other and always ends with the code 0, since a failed task would keep the host
 * away from the whole project for minutes: how each job ended stands in the record.
 *
 * A job's directory `jobs/N` has `command` (text that becomes the program), `outputs` (text that sets paths as the
 * arguments), `limits` (words and numbers: `wall` in seconds, `memory` in bytes, `disk` in KiB), `compared` (copied as it
 * is) and `work`, where it runs. The launcher adds `stdout`, `stderr`, and `end`, of one line: `exited CODE`,
 * `signal NUMBER`, `timeout`, `memory` or `disk`, then the seconds that it took.
 *
 * It obeys suspend, resume, quit and abort, and kills the job when the client is gone, so that no job ever runs twice
 * on a host. What ended before an interruption is not run again.
 */
export const launcherScript = `#!/bin/sh
# Runs jobs of Molehill as a task of a BOINC client.
exec 2>/dev/null
umask 022
# The client puts its own directories in front.
case \${LD_LIBRARY_PATH:-} in
  ../../projects/*:.:../..:?*) LD_LIBRARY_PATH=\${LD_LIBRARY_PATH#*:.:../..:} ;;
  ../../projects/*) unset LD_LIBRARY_PATH ;;
esac
[ ! -e boinc_finish_called ] || exit 0
orders='' is_suspended='' silent=0 leader='' directory=. ended_seconds=0 job_seconds=0 done_jobs=0 jobs=1 grace=10
${processFunctions}
${channelFunctions}
${packingFunctions}
client=$(client_named)

# An earlier run that was killed may have left a launcher or a job behind.
if [ -e launcher ]; then
  read -r old old_start <launcher
  if is_same "$old" "$old_start"; then kill -KILL "$old"; fi
fi
for left in jobs/*/leader; do
  [ -e "$left" ] || continue
  old='' old_start=''
  read -r old old_start <"$left"
  if is_same "$old" "$old_start"; then kill_session "$old"; fi
done
rm -f result.part.* packing_failed
echo "$$ $(start_of $$)" >launcher

finish() {
  tell_last "$ended_seconds"
  echo 0 >finish.part
  mv finish.part boinc_finish_called
  exit 0
}
leave() {
  kill_job
  # Asked to, in order: this start does not count.
  [ "$orders" = gone ] || rm -f starts
  exit 0
}
trap 'orders=quit; leave' TERM INT HUP

# Starts that nothing explains: the same client runs, and nobody asked to quit.
starts=0 starting_client=''
[ ! -e starts ] || read -r starts starting_client <starts
[ "$starting_client" = "$client" ] || starts=0
starts=$((starts + 1))
echo "$starts $client" >starts.part
mv starts.part starts
if [ "$starts" -ge 5 ]; then
  pack_failure 'it was killed again and again, probably for want of memory'
  finish
fi

# A second at most, and a moment where the wait began just now.
look() {
  looks=$((looks + 1))
  if [ "$looks" -lt 10 ] && sleep 0.1; then return; fi
  sleep 1
  attend
}
attend() {
  hear
  # Also what a job started while it was being stopped.
  [ -z "$is_suspended" ] || signal_job STOP
  [ -z "$orders" ] || leave
}
report() {
  tell "$((ended_seconds + job_seconds))" "$(printf '0.%03d' "$((done_jobs * 999 / jobs))")"
}
# Runs a function beside this shell, which goes on listening.
attending() {
  rm -f attended
  ( trap - TERM INT HUP; "$@"; echo "$?" >attended.part; mv attended.part attended ) &
  beside=$! looks=0
  until [ -e attended ] || ! kill -0 "$beside"; do look; done
  [ "$(cat attended)" = 0 ]
}

limit_of() { sed -n "s/^$1 //p" "$directory/limits"; }
# Becomes the job; whoever is to stop it finds its number.
leader_text='IFS= read -r stat <"/proc/$$/stat"
set -- "$1" \${stat##*) }
echo "$$ \${21:-0}" >"$1/leader.part" && mv "$1/leader.part" "$1/leader"
cd "$1/work" || exit 125
unset OLDPWD stat
set --
. ../command'
keep_job() {
  trap - TERM INT HUP
  ( exec setsid sh -c "$leader_text" sh "$PWD/$directory" </dev/null >"$directory/stdout" 2>"$directory/stderr" )
  echo "$?" >"$directory/code.part"
  times >"$directory/times"
  mv "$directory/code.part" "$directory/code"
}
# The second line is the children's: 0m1.5s 0m0.2s
read_times() {
  spent=0
  { read -r line; read -r line; } <"$directory/times"
  for word in $line; do
    word=\${word%s}
    seconds=\${word#*m}
    spent=$((spent + \${word%%m*} * 60 + \${seconds%%[.,]*}))
  done
  [ "$spent" -le "$job_seconds" ] || job_seconds=$spent
}
check_limits() {
  now=$(date +%s)
  passed=$((now - last))
  last=$now
  [ -z "$is_suspended" ] || return 0
  # A computer that slept.
  if [ "$passed" -lt 0 ] || [ "$passed" -gt 60 ]; then passed=1; fi
  elapsed=$((elapsed + passed))
  find_leader
  measure
  [ "$((job_ticks / ticks_per_second))" -le "$job_seconds" ] || job_seconds=$((job_ticks / ticks_per_second))
  if [ -n "$wall" ] && [ "$elapsed" -gt "$wall" ]; then why=timeout
  elif [ -n "$memory" ] && [ "$((job_pages * page_bytes))" -gt "$memory" ]; then why=memory
  elif [ -n "$disk" ] && [ "$elapsed" -ge "$disk_at" ]; then
    disk_at=$((elapsed + 20))
    [ "$(du -sk jobs | sed 's/[^0-9].*//')" -le "$disk" ] || why=disk
  fi
  case $why in
    '') ;;
    # It may still write down how far it is.
    timeout)
      if [ "$elapsed" -gt "$((wall + grace))" ]; then kill_job
      elif [ -z "$is_asked" ]; then
        is_asked=yes
        signal_job TERM
      fi
      ;;
    *) kill_job ;;
  esac
}
run_job() {
  leader='' why='' is_asked='' elapsed=0 disk_at=5 job_seconds=0 looks=0
  wall=$(limit_of wall) memory=$(limit_of memory) disk=$(limit_of disk)
  last=$(date +%s)
  keep_job 2>"$directory/note" &
  keeper=$!
  until [ -e "$directory/code" ] || ! kill -0 "$keeper"; do
    look
    if [ "$looks" -ge 10 ]; then
      check_limits
      report
    fi
  done
  kill_job
  read_times
  code=$(cat "$directory/code")
  if [ -n "$why" ]; then end=$why
  elif [ -z "$code" ]; then end=abandoned
  elif [ "$code" -gt 128 ] && [ -s "$directory/note" ]; then end="signal $((code - 128))"
  else end="exited $code"; fi
  echo "$end $elapsed" >"$directory/end.part"
  mv "$directory/end.part" "$directory/end"
  rm -f "$directory/leader"
  ended_seconds=$((ended_seconds + job_seconds)) job_seconds=0 leader=''
}

if [ ! -e unpacked ] && ! attending unpack_all; then
  pack_failure 'what came could not be unpacked'
  finish
fi
jobs=$(sed -n 's/^jobs //p' plan)
result_bytes=$(sed -n 's/^result //p' plan)
if [ -z "$jobs" ] || [ -z "$result_bytes" ] || ! command -v setsid >/dev/null; then
  pack_failure 'jobs cannot be run on this computer'
  finish
fi
current=1
while [ "$current" -le "$jobs" ]; do
  directory=jobs/$current
  if [ ! -e "$directory/end" ]; then
    if [ -e "$directory/begun" ]; then unpack_again "$current"; fi
    : >"$directory/begun"
    run_job
  fi
  done_jobs=$current
  attend
  while [ -n "$is_suspended" ]; do
    sleep 1
    attend
  done
  report
  current=$((current + 1))
done
attending pack_all
finish
`
