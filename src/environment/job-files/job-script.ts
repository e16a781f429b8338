import { execText, quote } from '../quote.ts'
import type { JobRequest } from '../environment.ts'

/** How a job ended, in its own words: what its file `exit` says. */
export type JobEnd =
  | { readonly kind: 'exited'; readonly exitCode: number }
  | { readonly kind: 'signalled'; readonly signal: number }
  | { readonly kind: 'timeout' }
  /** It could not be started. */
  | { readonly kind: 'failed'; readonly message: string }
  /** What ran it was ended: that tells nothing of the job. */
  | { readonly kind: 'abandoned'; readonly message: string }

/** What the file `exit` says; undefined for what is not whole (yet). */
export function readEnd(text: string): JobEnd | undefined {
  const line = /^([a-z]+)(?: (.*))?\n$/.exec(text)
  if (line === null) return undefined
  const [, kind, padded = ''] = line
  // Spaces fill the room that was put aside.
  const rest = padded.trimEnd()
  if (kind === 'exited' && /^\d{1,3}$/.test(rest)) return { kind, exitCode: Number(rest) }
  if (kind === 'signal' && /^\d{1,3}$/.test(rest)) return { kind: 'signalled', signal: Number(rest) }
  if (kind === 'timeout') return { kind }
  if (kind === 'failed' || kind === 'abandoned') return { kind, message: rest }
  return undefined
}

/** Room for the usual ends. */
const reservedBytes = 64

/** The file `command` of a job: bash text that becomes the job's program in the directory that it is read in. */
export function commandText(request: JobRequest, prologue: readonly string[] = []): string {
  return [...prologue, execText(request.command, request.env), ''].join('\n')
}

/**
 * Bash text (bash 4 or newer) that runs one job to its end and writes down how it ended. It must be part of a file
 * that bash reads line by line: bash says between two lines what ended a program. Before it, these are set:
 * `molehill_directory`, the job's directory; `molehill_id`; and, where it may not run for ever, `molehill_seconds`.
 *
 * A job runs once: the file `started` is made by whoever comes first, so a scheduler that runs a script again, or has
 * got it twice, does no harm. The file `exit` is written as the last act of a keeper, in one go: what does not end with a
 * line break is not whole, and a program to rename it would cost as much as the shell itself. The text ends the shell
 * with code 0 whatever the job did: to some schedulers other codes are wishes (99 and 100 in SGE). After the time in
 * seconds the job gets SIGTERM, and SIGKILL `stopGraceMs` later. On a disk that has filled up meanwhile there is still
 * the room of the file `reserve`, which is written over in place.
 *
 * The keeper, the parent of the job, ignores signals: bash that is interrupted while it waits may lose how its child
 * ended. The shell that the scheduler knows passes signals on to the group of both. What bash with job control says of
 * its child goes to `started`, and tells a signal from an exit code above 128.
 */
export function runJobText(stopGraceMs: number, announcesSignals = false): string {
  return `molehill_end() {
  printf '%s\\n' "$*" >|"$molehill_directory/exit" && return
  printf '%-${reservedBytes - 1}s\\n' "$*" 1<>"$molehill_directory/reserve" && mv -f -- "$molehill_directory/reserve" "$molehill_directory/exit"
} 2>/dev/null
[[ -e $molehill_directory/cancelled ]] && exit 0
set -o noclobber
{ printf '%s\\n' "\${HOSTNAME:-unknown}" >"$molehill_directory/started"; } 2>/dev/null || exit 0
set +o noclobber
printf '%${reservedBytes}s' '' >|"$molehill_directory/reserve"
cd -- "$molehill_directory/work" 2>/dev/null || { molehill_end "failed The directory $molehill_directory/work cannot be entered on \${HOSTNAME:-this computer}."; exit 0; }
exec 2>>"$molehill_directory/started"
molehill_job() {
  trap - TERM INT HUP USR1 USR2 XCPU
  # A scheduler that ends processes one by one may miss one that is just being made.
  [[ -e $molehill_directory/cancelled ]] && exit 143
  unset OLDPWD
  export MOLEHILL_JOB_ID=$molehill_id MOLEHILL_JOB_DIRECTORY=$molehill_directory/work
  . "$molehill_directory/command"
}
molehill_watch() {
  sleep "$molehill_seconds"
  : >|"$molehill_directory/late"
  kill -TERM -- "-$molehill_group"
  sleep ${stopGraceMs / 1000}
  molehill_end timeout
  kill -KILL -- "-$molehill_group"
}
molehill_keep() {
  trap '' TERM INT HUP USR1 USR2 XCPU
  set +m
  molehill_group=$BASHPID
  molehill_job </dev/null >|../stdout 2>|../stderr & molehill_child=$!
  if [[ $molehill_seconds ]]; then molehill_watch </dev/null >/dev/null 2>&1 & fi
  # Bash tells what a code above 128 means: some versions by themselves while set -m holds, which before would have given
  # the job a group of its own; others (5.2.37) only when they are asked. The words are those of its locale.
  set -m
  wait "$molehill_child"
  molehill_code=$?
  jobs %1 >&2 2>/dev/null
  mapfile -t molehill_notes <"$molehill_directory/started"
  molehill_signalled=
  for molehill_note in "\${molehill_notes[@]:1}"; do [[ $molehill_note == "["*" $molehill_code "* ]] || molehill_signalled=1; done
  if [[ ! -e $molehill_directory/stderr ]]; then molehill_end "failed Its logs could not be made: \${molehill_notes[*]:1}"
  elif [[ -e $molehill_directory/late ]]; then molehill_end timeout
  elif (( molehill_code > 128 )) && [[ $molehill_signalled ]]; then molehill_end "signal $(( molehill_code - 128 ))"
  else molehill_end "exited $molehill_code"; fi
}
molehill_keeper= molehill_killer=
molehill_pass() {
  : "\${molehill_keeper:=$!}"
  [[ $molehill_keeper ]] && kill "-$1" -- "-$molehill_keeper" 2>/dev/null
}
for molehill_signal in TERM INT HUP USR1 USR2 XCPU; do trap "molehill_pass $molehill_signal" "$molehill_signal"; done
${announcesSignals ? announcedText(stopGraceMs) : ''}set -m
molehill_keep &
: "\${molehill_keeper:=$!}"
while kill -0 "$molehill_keeper" 2>/dev/null; do wait "$molehill_keeper"; done
kill -KILL -- "-$molehill_keeper" \${molehill_killer:+"-$molehill_killer"} 2>/dev/null
exit 0
`
}

/** What kills the job outlives the script, which may be killed before. */
function announcedText(stopGraceMs: number): string {
  return `molehill_stop() {
  molehill_pass TERM
  if [[ $molehill_keeper && -z $molehill_killer ]]; then
    { sleep ${stopGraceMs / 1000}; kill -KILL -- "-$molehill_keeper"; } </dev/null >/dev/null 2>&1 & molehill_killer=$!
  fi
}
trap molehill_stop USR2
trap : USR1
`
}

/** The script of jobs that a scheduler starts by number. Paths are absolute, on the host. */
export interface BatchScript {
  readonly directives: readonly string[]
  /** Shell text that becomes the job's number, counted from 0. */
  readonly index: string
  /** A file with one job id a line. */
  readonly jobsFile: string
  /** Where the directories of the jobs lie. */
  readonly jobsDirectory: string
  readonly wallTimeMs?: number
  readonly stopGraceMs: number
  /** Whether SIGUSR2 to the script means that it will be killed, and SIGUSR1 that it will be suspended. */
  readonly announcesSignals?: boolean
}

export function batchScript(script: BatchScript): string {
  const seconds = script.wallTimeMs === undefined ? '' : String(script.wallTimeMs / 1000)
  return [
    '#!/bin/bash',
    ...script.directives,
    `mapfile -t -s "${script.index}" -n 1 molehill_line <${quote(script.jobsFile)} || exit 1`,
    'molehill_id=${molehill_line[0]}',
    '[[ $molehill_id ]] || { echo "No job has this number." >&2; exit 1; }',
    `molehill_directory=${quote(script.jobsDirectory)}/$molehill_id`,
    `molehill_seconds=${seconds}`,
    runJobText(script.stopGraceMs, script.announcesSignals),
  ].join('\n')
}
