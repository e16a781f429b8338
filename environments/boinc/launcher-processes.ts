/**
 * Shell functions of the launcher for the processes of a job, which are those of its leader's session. On systems
 * without /proc only its process group is signalled, and neither memory nor processor time is known.
 *
 * A process is named by its number and the moment of its start, so that no other one is signalled that got its number.
 */
export const processFunctions = `page_bytes=$(getconf PAGESIZE 2>/dev/null || echo 4096)
ticks_per_second=$(getconf CLK_TCK 2>/dev/null || echo 100)
# Fields of proc(5) after the name: 4 session, 12 to 15 times, 20 start, 22 pages in memory.
stat_of() {
  stat=
  { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null
  stat=\${stat##*) }
}
start_of() {
  stat_of "$1"
  set -- $stat
  echo "\${20:-0}"
}
is_same() { [ -n "\${1:-}" ] && kill -0 "$1" 2>/dev/null && [ "$(start_of "$1")" = "\${2:-}" ]; }
measure() {
  job_ticks=0 job_pages=0 job_processes=
  [ -n "$leader" ] || return 0
  for process in /proc/[0-9]*; do
    process=\${process#/proc/}
    stat_of "$process"
    set -- $stat
    [ "\${4:-}" = "$leader" ] || continue
    job_ticks=$((job_ticks + \${12:-0} + \${13:-0} + \${14:-0} + \${15:-0}))
    job_pages=$((job_pages + \${22:-0}))
    job_processes="$job_processes $process"
  done
}
find_leader() {
  if [ -n "$leader" ] || [ ! -s "$directory/leader" ]; then return 0; fi
  read -r leader _ <"$directory/leader"
}
signal_job() {
  find_leader
  [ -n "$leader" ] || return 0
  kill "-$1" "-$leader" 2>/dev/null
  measure
  for process in $job_processes; do kill "-$1" "$process" 2>/dev/null; done
}
# What shells started while they were looked for is found the second time.
kill_job() {
  signal_job STOP
  signal_job KILL
  signal_job KILL
}
kill_session() {
  leader=$1
  kill_job
  leader=
}`
