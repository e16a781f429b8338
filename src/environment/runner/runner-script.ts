/**
 * A bash program (4.0 or newer) that keeps the slots of a computer busy with jobs from a queue. It outlives whoever
 * started it. Arguments: base directory, name, slots, seconds of grace, seconds of idleness, and for a pilot the time in
 * seconds since 1970 at which its jobs must be over, the seconds that a job without a wall time must have left when it
 * begins, and its name below `pilots`. Many pilots serve one queue: they have no lock and write no log.
 *
 * Files below `runners/NAME/`: `inbox/*` are lists of jobs, read in the order of their names; one line a job, `PATH
 * SLOTS SECONDS KIB`, and `end` as the last line, so that half a list is left for later. `ends` gets a line for each
 * start and end. `lock` says which runner lives, `slots`
 * how many there are now. A list is deleted when all its jobs have begun: a runner that follows
 * a dead one reads it again, and `started` in a job's directory is made once by whoever comes first. A pilot leaves
 * jobs that it has no time for, and their lists, to the next one; `full` in its directory tells of it.
 *
 * A pilot that is asked to end, or whose time is up, stops its jobs and says so in their files: `abandoned`. A scheduler
 * signals jobs and pilot at about the same time, so a pilot waits a second before it believes that SIGTERM or SIGKILL
 * was meant for a job alone; until then nothing begins in its place.
 *
 * Per job: one fork, and what bash does itself; where bash does not say of every signal that it ended a job (5.2.37), a
 * second fork. The file `exit` is written in one go and counts when it has a whole line.
 * A line written to the pipe `wake` says that there is something new; each second it looks by itself. That is no signal:
 * one that comes while bash makes a process is sent on to it, and one that comes while it waits hides an exit code.
 */
export const runnerScript = `{
set -m
shopt -s nullglob
umask 077
cd -- "$1" || exit 1
base=$PWD here=runners/$2 slots=$3 grace=$4 idle=$5 deadline=$6 spare=$7 own=runners/$2\${8:+/pilots/$8}
BASH_ARGV0=molehill-runner
exec {notices}>>"$own/notices"
exec 2>&"$notices"
read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id || boot=-
start=-
if read -r words 2>/dev/null </proc/$$/stat; then words=(\${words##*) }); start=\${words[19]}; fi
me="$HOSTNAME $$ $start $boot" claim="\${8:+pilot $8}"
: "\${claim:=$2 $me}"
now() { printf -v "$1" '%(%s)T' -1; }
is_alive() {
  local host pid begun bootid beat time words
  read -r host pid begun bootid <<<"$1"
  if [[ $host != "$HOSTNAME" ]]; then
    now time
    { read -r beat <"$here/beat"; } 2>/dev/null && (( time - beat < 60 ))
    return
  fi
  [[ $bootid == "$boot" ]] && kill -0 "$pid" 2>/dev/null || return
  [[ $begun == - ]] && return
  { read -r words </proc/$pid/stat; } 2>/dev/null || return
  words=(\${words##*) })
  [[ \${words[19]} == "$begun" ]]
}
take_lock() {
  local holder
  while ! ( set -C; printf '%s\\n' "$me" >"$here/lock" ) 2>/dev/null; do
    { read -r holder <"$here/lock"; } 2>/dev/null || { [[ -e $here/lock ]] || continue; }
    [[ $holder ]] && is_alive "$holder" && return 1
    rm -f -- "$here/lock" || return 1
  done
}
# Nobody can tell any more how jobs of a dead runner end.
bury() {
  local file host owner pid
  for file in executions/*/jobs/*/started; do
    [[ -s \${file%started}exit ]] && continue
    host= owner= pid=
    { read -r host; read -r owner; read -r pid; } <"$file" 2>/dev/null
    [[ $owner == "$2 "* && $owner != "$2 $me" ]] || continue
    is_alive "\${owner#"$2 "}" && continue
    [[ $pid && $owner == *" $boot" ]] && kill -KILL -- "-$pid" 2>/dev/null
    finish "\${file%/started}" "failed What watched the job on $host was killed."
  done
}
finish() {
  if printf '%s\\n' "$2" >"$1/exit" && [[ -s $1/exit ]]; then
    printf 'ended %s %s\\n' "$1" "$2" >&"$ends"
    unset "unsaved[$1]"
  elif [[ -d $1 ]]; then unsaved[$1]=$2
  else unset "unsaved[$1]"; fi
}
take_lists() {
  local file lines last wanted
  { read -r wanted <"$here/slots"; } 2>/dev/null && (( wanted > 0 )) && (( free += wanted - slots, slots = wanted ))
  for file in "$here"/inbox/*; do
    [[ \${seen[$file]} ]] && continue
    mapfile -t lines <"$file" 2>/dev/null
    last=$(( \${#lines[@]} - 1 ))
    [[ $last -ge 0 && \${lines[last]} == end ]] || continue
    seen[$file]=1
    unset "lines[last]"
    queue+=("\${lines[@]}" "drop $file")
  done
}
# Waits for a job and exits as it did. Asked, bash tells of what has ended, unless that was by a signal and is told already.
# With set -m, it would not wait for a job that is stopped; without, it cannot be asked.
keep_job() {
  local code shown
  trap '' TERM INT HUP XCPU USR1 USR2
  set +m
  exec {shown}>&2 2>&"$notices"
  eval "$* 2>&$shown {shown}>&- &"
  wait "$!"
  code=$?
  set -m
  (( code > 128 )) && jobs %1 >&2
  exit "$code"
}
run_job() {
  trap - TERM INT HUP XCPU USR1 USR2
  exec {ends}>&- {notices}>&- {wake}>&-
  cd -- "$base/$1/work" || exit 127
  unset OLDPWD
  export MOLEHILL_JOB_ID=\${1##*/} MOLEHILL_JOB_DIRECTORY=$base/$1/work
  [[ $2 == 0 ]] || ulimit -d "$2"
  . ../command
}
launch() {
  local path=$1 seconds=$3 kib=$4 mine= isWritten=
  set -C
  { { mine=1; printf '%s\\n' "$HOSTNAME" "$claim" && isWritten=1; } >"$path/started"; } 2>/dev/null
  set +C
  if [[ ! $isWritten ]]; then
    # No room on the disk: the queue waits.
    [[ $mine ]] && rm -f -- "$path/started"
    [[ -d $path && ! -e $path/started ]] && return 1
    return 0
  fi
  if [[ -e $path/cancelled ]]; then finish "$path" 'signal 15'; return 0; fi
  if [[ ! -d $path/work ]]; then finish "$path" "failed The directory $base/$path/work is not there on $HOSTNAME."; return 0; fi
  # So that the path stands in what bash says of its end.
  eval "$keep run_job $path $kib </dev/null >|$path/stdout 2>|$path/stderr &"
  path_of[$!]=$path slots_of[$!]=$2
  [[ $seconds == 0 ]] || until_of[$!]=$(( SECONDS + seconds + 1 ))
  (( free -= $2 ))
  printf '%s\\n' "$!" >>"$path/started"
  printf 'started %s\\n' "$path" >&"$ends"
}
fits() {
  local time
  now time
  (( time + ($1 > 0 ? $1 : spare) < deadline ))
}
fill() {
  local path need seconds kib
  while [[ ! $isEnded ]] && (( head < \${#queue[@]} )); do
    read -r path need seconds kib <<<"\${queue[head]}"
    if [[ $path == drop ]]; then
      [[ $isKept ]] || { rm -f -- "$need"; unset "seen[$need]"; }
      isKept=
    elif [[ $deadline ]] && ! fits "$seconds"; then
      if [[ -d $path && ! -e $path/started ]]; then
        isKept=1
        [[ $isFull ]] || { isFull=1; printf 'full\\n' >"$own/full"; }
      fi
    else
      (( need > slots )) && need=$slots
      (( need <= free )) || return
      launch "$path" "$need" "$seconds" "$kib" || return
    fi
    (( head += 1 ))
  done
  queue=() head=0
}
reap() {
  local pid code path end wasAsked taken
  for pid in "\${!path_of[@]}"; do
    kill -0 "$pid" 2>/dev/null && continue
    wait "$pid"
    code=$?
    path=\${path_of[$pid]}
    if [[ \${late[$pid]} ]]; then end=timeout
    elif (( code > 128 )) && is_noticed "$path" "$code"; then end="signal $(( code - 128 ))"
    elif (( code != 0 )) && [[ ! -e $path/stderr ]]; then end='failed Its logs could not be made.'
    else end="exited $code"; fi
    kill -KILL -- "-$pid" 2>/dev/null
    taken=\${slots_of[$pid]} wasAsked=\${kill_at[$pid]}
    unset "path_of[$pid]" "slots_of[$pid]" "until_of[$pid]" "kill_at[$pid]" "late[$pid]"
    if [[ $isOver && $end != timeout ]] && (( code != 0 )); then end="abandoned $isOver"; fi
    if [[ $deadline && ! $isOver && ! $wasAsked ]] && (( code == 143 || code == 137 )); then
      doubt[$path]=$end doubt_at[$path]=$SECONDS doubt_slots[$path]=$taken
      continue
    fi
    (( free += taken ))
    finish "$path" "$end"
  done
}
# Bash says of a job that a signal ended it; of one that ended with a code above 128 nothing, or before its text the code.
is_noticed() {
  local line
  while read -r line; do
    [[ $line == *" run_job $1 "* && $line != "["*" $2 "*" run_job "* ]] && return 0
  done <"$own/notices"
  return 1
}
settle() {
  local path
  for path in "\${!doubt[@]}"; do
    if [[ $isOver ]]; then finish "$path" "abandoned $isOver"
    elif (( SECONDS >= doubt_at[$path] + 2 )); then finish "$path" "\${doubt[$path]}"
    else continue; fi
    (( free += doubt_slots[$path] ))
    unset "doubt[$path]" "doubt_at[$path]" "doubt_slots[$path]"
  done
}
# Until something has ended.
doze() { if (( BASH_VERSINFO[0] > 4 || BASH_VERSINFO[1] >= 3 )); then wait -n; else wait "$1"; fi; }
# Whether the pilot is over: then no job begins any more, and those that run are stopped.
look_at_time() {
  local time why
  now time
  if [[ $isEnded ]]; then why='was ended by the scheduler'
  elif (( time >= deadline )); then why='had no time left'
  elif [[ ! -d $own ]]; then why='lost its files'
  else return; fi
  isOver="The pilot that ran it on $HOSTNAME $why." isFull=1 queue=() head=0
}
stop_some() {
  local pid
  for pid in "\${!path_of[@]}"; do
    if [[ \${kill_at[$pid]} ]]; then
      (( SECONDS >= kill_at[$pid] )) && kill -KILL -- "-$pid" 2>/dev/null
    elif [[ $isOver || -e \${path_of[$pid]}/cancelled || ! -d \${path_of[$pid]} ]]; then stop "$pid"
    elif [[ \${until_of[$pid]} ]] && (( SECONDS >= until_of[$pid] )); then late[$pid]=1; stop "$pid"; fi
  done
}
stop() { kill -TERM -- "-$1" 2>/dev/null; kill_at[$1]=$(( SECONDS + grace )); }
declare -A seen path_of slots_of until_of kill_at late unsaved doubt doubt_at doubt_slots
queue=() head=0 free=$slots woken= isFull= isKept= isOver= isEnded= isLost= holder= ticker=
if [[ $deadline ]]; then
  trap 'isEnded=1 woken=1' TERM INT XCPU USR2
  # Some schedulers announce by it that they suspend.
  trap : USR1
  exec {ends}>/dev/null
else
  exec {ends}>>"$here/ends"
  take_lock || exit 0
  now time; printf '%s\\n' "$time" >"$here/beat"
  bury "$1" "$2"
fi
wake=
[[ -p $own/wake ]] || mkfifo "$own/wake"
[[ -p $own/wake ]] && exec {wake}<>"$own/wake"
tick() {
  # Some file servers have no pipes.
  [[ $wake ]] || exec sleep 1
  read -r -t 1 -u "$wake" _ || exit 0
  while read -r -t 0 -u "$wake" _; do read -r -t 1 -u "$wake" _; done
}
# Does bash tell of signals by itself?
keep=
: >|"$own/notices"
kill -TERM "$BASHPID" &
doze "$!"
[[ -s $own/notices ]] || keep=keep_job
quiet=$SECONDS due=1
while :; do
  if ! kill -0 "$ticker" 2>/dev/null; then
    # It may have ended since the last look.
    due=1
    # Not silenced: while it waits, bash may tell of jobs.
    [[ $ticker ]] && wait "$ticker"
    # Whoever took the lock away is the runner now; this one only sees its jobs to their end.
    if [[ -z $deadline ]]; then
      now time; printf '%s\\n' "$time" 2>/dev/null >"$here/beat"
      { read -r holder <"$here/lock"; } 2>/dev/null || holder=
      if [[ $holder != "$me" ]]; then
        queue=() head=0 isLost=1
        (( \${#path_of[@]} == 0 )) && break
      fi
    fi
    for path in "\${!unsaved[@]}"; do finish "$path" "\${unsaved[$path]}"; done
    (( \${#path_of[@]} == 0 )) && : >|"$own/notices"
    tick </dev/null >/dev/null 2>&1 {ends}>&- {notices}>&- & ticker=$!
  fi
  if [[ $due && ! $isLost && ! $isOver ]]; then take_lists; fi
  fill
  (( \${#path_of[@]} + \${#doubt[@]} > 0 || head < \${#queue[@]} )) && quiet=$SECONDS
  if (( SECONDS - quiet >= idle )) || [[ $isFull && \${#path_of[@]} == 0 && \${#doubt[@]} == 0 ]]; then
    [[ $deadline ]] && break
    rm -f -- "$here/lock"
    files=("$here"/inbox/*)
    (( \${#files[@]} == 0 )) && break
    take_lock || break
    quiet=$SECONDS
  fi
  [[ $woken ]] || doze "$ticker"
  # Most times it was a job that ended: then there is nothing to look for.
  due=$woken
  woken=
  kill -0 "$ticker" 2>/dev/null || due=1
  [[ $due && $deadline && ! $isOver ]] && look_at_time
  reap
  if [[ $due ]]; then settle; stop_some; fi
done
kill "$ticker" 2>/dev/null
exit 0
}
`

/**
 * Bash text that sees to it that a runner lives and looks at its inbox. `$1` is the base directory, `$2` the runner's
 * name, `$3` its program, below the base; the others are the program's. Says `alive`, `begun`,
 * or `missing` where there is no such program yet.
 */
export const ensureText = `ensure() {
cd -- "$1" || exit 1
here=runners/$2
mkdir -p -- "$here/inbox" && : >>"$here/ends" || exit 1
# Not written when there is no need: a full disk must not keep jobs from being cancelled.
{ read -r slots <"$here/slots"; } 2>/dev/null && [[ $slots == "$4" ]] || printf '%s\\n' "$4" >"$here/slots" || exit 1
read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id || boot=-
if { read -r host pid begun bootid <"$here/lock"; } 2>/dev/null; then
  if [[ $host == "$HOSTNAME" ]]; then
    if [[ $bootid == "$boot" ]] && kill -0 "$pid" 2>/dev/null; then
      words=
      [[ $begun == - ]] || { read -r words </proc/$pid/stat; words=(\${words##*) }); } 2>/dev/null
      if [[ $begun == - || \${words[19]} == "$begun" ]]; then
        # Opened to read as well, it waits for nobody.
        if [[ -p $here/wake ]]; then echo 1<>"$here/wake"; fi
        echo alive
        return
      fi
    fi
  elif { read -r beat <"$here/beat"; } 2>/dev/null && (( $(printf '%(%s)T' -1) - beat < 60 )); then echo alive; return; fi
fi
program=$3
[[ -s $program ]] || { echo missing; return; }
shift 3
case \${MOLEHILL_LOCALE-none} in none) ;; unset) unset LC_ALL ;; *) export LC_ALL=$MOLEHILL_LOCALE ;; esac
unset MOLEHILL_LOCALE
away=
type -P setsid >/dev/null && away=setsid
# Without set -m, it and its jobs would ignore SIGINT and SIGQUIT.
( set -m; $away bash --noprofile --norc "$program" "$PWD" "\${here#runners/}" "$@" </dev/null >/dev/null 2>&1 & )
echo begun
}
ensure "$@"`

/**
 * Bash text that prints what a runner adds to its log, after a line `following`, until its input ends or is silent for
 * a quarter of an hour. `$1` is the base directory, `$2` the runner's name.
 */
export const followText = `cd -- "$1/runners/$2" || exit 1
size=$(wc -c <ends) || exit 1
tail -c "+$(( size + 1 ))" -F ends 2>/dev/null &
echo following
while read -r -t 900 _; do :; done
kill "$!"`
