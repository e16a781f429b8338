import { shellWord } from './command-text.ts'
import { contentsText, fetchText, type FetchWay } from './fetch-script.ts'
import { podPlaces, type Places } from './places.ts'

export interface StageInWays {
  readonly limitMs: number
  /** How it fetches its files; without, they are brought. */
  readonly fetch?: FetchWay | undefined
  /** How it then fetches what those name, where there is an object storage. */
  readonly contents?: FetchWay | undefined
}

/*
 * Kubernetes reads `$$` in commands as `$`, and `$(NAME)` as a variable of the container: the first must not be in
 * these texts, the second only for what is no variable.
 */

/** How often the waiting containers look. */
const tickSeconds = 0.2

/**
 * Shell text of the container `stage-in`: it leaves its own busybox for the job, waits until all files are there, and
 * lets every user change them, since the job may run as another one. Whoever brings them writes the file `in` last: the
 * server, or the container itself where it fetches them. It fails with a word about it after `limitMs`.
 */
export function stageInText({ limitMs, fetch, contents }: StageInWays, places: Places = podPlaces): string {
  const { root, busybox, job } = places
  return `${prelude(places)}umask 0
molehill_busybox=$(command -v busybox)
# A shell that knows it as a command of its own tells no path: then all its commands are busybox.
case $molehill_busybox in /*) ;; *) molehill_busybox=/proc/self/exe ;; esac
mkdir -p ${words(`${root}/bin`, `${job}/work`)} && cp "$molehill_busybox" ${shellWord(`${busybox}.new`)} && chmod 0755 ${shellWord(`${busybox}.new`)} && mv ${words(`${busybox}.new`, busybox)} || molehill_fail "The staging image holds no busybox that can be copied."
${fetch === undefined ? waitText(places.in, limitMs, 'molehill_fail "The files did not come in time."') : fetchText(limitMs, fetch, places)}
${contents === undefined ? ':' : contentsText(limitMs, contents, places)}
chmod -R a+rwX ${shellWord(job)} || molehill_fail "The files could not be opened to all users."
`
}

/** Leaves those of the positional parameters that are there: what links lead to counts. */
export const presentText = `count=$#
while [ "$count" -gt 0 ]; do
  path=$1
  shift
  [ -e "$path" ] && set -- "$@" "$path"
  count=$((count - 1))
done`

/** What the outputs of a job are called in its directory of a claim. */
export const keptName = 'outputs.tar'

export interface KeepLimits {
  /** How long the outputs are kept in the pod for a server that is away. */
  readonly limitMs: number
  /** After how long they go into the job's directory of a claim, where it has one; then the pod ends. */
  readonly claimAfterMs?: number | undefined
}

/**
 * Shell text of the container `stage-out`: it waits until nothing is needed any more, but after the job has ended no
 * longer than the limit. It ends with 0: how a pod ended is for the job to say.
 */
export function stageOutText({ limitMs, claimAfterMs }: KeepLimits, places: Places = podPlaces): string {
  const { job, out } = places
  return `${prelude(places)}until [ -e ${shellWord(out)} ] || [ -s ${shellWord(`${job}/exit`)} ]; do sleep ${tickSeconds}; done
${claimAfterMs === undefined ? '' : `${waitText(out, claimAfterMs, 'break')}\n${keepText(places)}\n`}${waitText(out, limitMs, 'break')}
exit 0
`
}

/** A claim without room leaves the outputs where they are; who is fetching them now may go on. */
function keepText({ job, out, outputs, fetching, kept }: Places): string {
  const [begun, whole] = [`${kept}/new.tar`, `${kept}/${keptName}`].map(shellWord)
  return `if [ ! -e ${shellWord(out)} ]; then
  cd ${shellWord(job)} && . ${shellWord(outputs)}
${presentText}
  if tar -c -h -f ${begun} "$@" && mv ${begun} ${whole}; then [ -e ${shellWord(fetching)} ] || exit 0
  else rm -f ${begun}; fi
fi`
}

function prelude({ message }: Places): string {
  return `trap 'exit 143' TERM
molehill_fail() { echo "$*" >&2; echo "$*" >${shellWord(message)}; exit 1; }
`
}

/** Counts its looks: what sleeps with the computer has waited no longer for that. */
function waitText(path: string, limitMs: number, whenOver: string): string {
  const ticks = Math.max(1, Math.ceil(limitMs / 1000 / tickSeconds))
  return `molehill_left=${ticks}
until [ -e ${shellWord(path)} ]; do
  [ "$molehill_left" -gt 0 ] || ${whenOver}
  molehill_left=$((molehill_left - 1))
  sleep ${tickSeconds}
done`
}

function words(...texts: readonly string[]): string {
  return texts.map(shellWord).join(' ')
}
