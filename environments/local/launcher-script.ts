import { quote } from '../../src/environment/quote.ts'
import type { JobLimits } from '../../src/environment/plugin.ts'

/**
 * What a launcher shell reads first: functions, then `ready`. It runs from standard input (`bash -s`), so each
 * job is four more lines of shell text and no file is needed.
 *
 * `set -m` gives each background job a process group of its own without a further program. Every answer starts
 * with `secret`, since bash prints the text of a command that a signal ended into the same stream, and that text
 * is the job's. The handler of TERM and PIPE is for the death of the server: the guard sends TERM, and an answer
 * that nobody can read raises PIPE.
 */
export function launcherScript(directory: string, secret: string): string {
  return `molehill_directory=${quote(directory)} molehill_secret=${quote(secret)} molehill_active=
(( BASH_VERSINFO[0] >= 5 )) || { echo "$molehill_secret unusable bash $BASH_VERSION is older than 5.0"; exit 1; }
BASH_ARGV0=molehill
set -m
[[ $- == *m* ]] || { echo "$molehill_secret unusable bash gives no job control (set -m)"; exit 1; }
unset OLDPWD
molehill_abandon() { [[ $molehill_active ]] && kill -KILL -- "-$!"; exit 1; }
trap molehill_abandon TERM PIPE
enter() {
  molehill_active=1 molehill_code=
  export MOLEHILL_JOB_ID=$1 MOLEHILL_JOB_DIRECTORY="$molehill_directory/$2/work"
  cd -- "$MOLEHILL_JOB_DIRECTORY" || exit 1
  unset OLDPWD
}
finish() {
  echo "$molehill_secret started $!"
  wait "$!"
  molehill_code=$?
  # Newer versions (5.2.37) tell only when they are asked that SIGTERM, SIGINT or SIGPIPE ended it.
  if (( molehill_code > 128 )); then LC_ALL=C jobs %1 2>/dev/null; fi
  # Also the answer for a job that was stopped, and even wait -f gives it if such a job goes on and ends at once. Asked
  # until the same comes twice of a job that is gone. (-f alone loops for ever in bash 5.2 if the job is forgotten.)
  while (( molehill_code > 128 )); do
    molehill_last=$molehill_code molehill_gone=1
    if kill -0 "$!" 2>/dev/null; then molehill_gone=; wait -f "$!"; fi
    wait "$!"
    molehill_code=$?
    if [[ $molehill_gone ]] && (( molehill_code == molehill_last )); then break; fi
  done
}
answer() {
  [[ $molehill_code ]] || exit 1
  kill -KILL -- "-$!" 2>/dev/null
  [[ $molehill_own ]] && molehill_sweep
  molehill_active=
  echo "$molehill_secret ended $molehill_code"
}
echo "$molehill_secret ready"
`
}

/**
 * What a launcher in a box reads besides: in its box nobody else has processes, so what is there after a job, other
 * than its own, has left the job's group. What forks meanwhile is looked for again, a bounded number of times.
 */
export const sweepScript = `molehill_sweep() {
  local path found try
  for try in {1..20}; do
    found=
    for path in /proc/[0-9]*; do
      [[ $molehill_own == *" \${path#/proc/} "* ]] || { kill -KILL "\${path#/proc/}" 2>/dev/null && found=1; }
    done
    [[ $found ]] || break
  done
}
for path in /proc/[0-9]*; do molehill_own+=" \${path#/proc/} "; done
unset path
`

/**
 * What a launcher in a box reads before: a process of its own sends the signals that it is told on descriptor 3, since
 * the shell itself waits for its job. Jobs do not get the descriptor.
 */
export const signalScript = `while read -r -u 3 signal group; do kill -s "$signal" -- "-$group" 2>/dev/null; done &
disown
exec 3<&-
`

/**
 * What a launcher reads first of all, for itself and all that it starts: limits that only root could raise, no core
 * dumps, and to be the first to go when the memory of the computer runs out.
 */
export function limitScript({ memoryBytes, fileBytes }: JobLimits): string {
  const kibibytes = (bytes: number): number => Math.ceil(bytes / 1024)
  return [
    'ulimit -S -c 0',
    ...(memoryBytes === undefined ? [] : [`ulimit -d ${kibibytes(memoryBytes)}`]),
    ...(fileBytes === undefined ? [] : [`ulimit -f ${kibibytes(fileBytes)}`]),
    '{ echo 500 > /proc/self/oom_score_adj; } 2>/dev/null\n',
  ].join('\n')
}

/**
 * The lines that run one job in the job directory with this name. `text` must be one line. Bash tells of a job that a
 * signal ended, and forgets it, between two lines: so `finish` stands on the line of the job, and `answer` on the
 * next. A fork that fails makes bash drop the line; `answer` then finds no code and ends the launcher.
 */
export function jobScript(id: string, directoryName: string, text: string): string {
  return `enter ${id} ${directoryName}\n${text} </dev/null >../stdout 2>../stderr & finish\nanswer\n`
}

/**
 * What the guard shell runs: it learns the launchers' process ids and waits. `end` is a server that closed in
 * order. The end of the stream without it is a dead server: launchers are told to kill their jobs, then killed.
 */
export const guardScript = `
declare -A launchers
while read -r verb pid; do
  case $verb in
    add) launchers[$pid]=1 ;;
    drop) unset "launchers[$pid]" ;;
    end) exit 0 ;;
  esac
done
for pid in "\${!launchers[@]}"; do kill -TERM "$pid" 2>/dev/null; done
exec {quiet}<> <(:)
for try in {1..50}; do
  alive=
  for pid in "\${!launchers[@]}"; do kill -0 "$pid" 2>/dev/null && alive=1; done
  [[ $alive ]] || exit 0
  read -r -t 0.1 -u "$quiet"
done
for pid in "\${!launchers[@]}"; do kill -KILL "$pid" 2>/dev/null; done
`
