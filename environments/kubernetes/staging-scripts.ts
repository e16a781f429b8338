import { shellWord } from './command-text.ts'
import { podPlaces, type Places } from './places.ts'

/*
 * Kubernetes reads `$$` in commands as `$`, and `$(NAME)` as a variable of the container: the first must not be in
 * these texts, the second only for what is no variable.
 */

/** How often the waiting containers look. */
const tickSeconds = 0.2

/** Holds the token that `fetchText` shows to the server. */
export const tokenVariable = 'MOLEHILL_TOKEN'

/**
 * Shell text of the container `stage-in`: it leaves its own busybox for the job, waits until all files are there, and
 * lets every user change them, since the job may run as another one. Whoever brings them writes the file `in` last. It
 * fails with a word about it after `limitMs`.
 */
export function stageInText(
  { limitMs, fetchFrom }: { readonly limitMs: number; readonly fetchFrom?: string | undefined },
  places: Places = podPlaces,
): string {
  const { root, busybox, job } = places
  return `${prelude(places)}umask 0
molehill_busybox=$(command -v busybox)
# A shell that knows it as a command of its own tells no path: then all its commands are busybox.
case $molehill_busybox in /*) ;; *) molehill_busybox=/proc/self/exe ;; esac
mkdir -p ${words(`${root}/bin`, `${job}/work`)} && cp "$molehill_busybox" ${shellWord(`${busybox}.new`)} && chmod 0755 ${shellWord(`${busybox}.new`)} && mv ${words(`${busybox}.new`, busybox)} || molehill_fail "The staging image holds no busybox that can be copied."
${fetchFrom === undefined ? '' : fetchText(fetchFrom, places)}${waitText(places.in, limitMs, 'molehill_fail "The files did not come in time."')}
chmod -R a+rwX ${shellWord(job)} || molehill_fail "The files could not be opened to all users."
`
}

/**
 * Fetches the archive from the server itself, again and again until its last entry, the file `in`, is there: what was
 * cut short or refused may work a little later. The token is seen in the container's own processes only.
 */
function fetchText(url: string, { root, in: whole }: Places): string {
  return `{ until [ -e ${shellWord(whole)} ]; do wget -q -O - --header "Authorization: Bearer $${tokenVariable}" ${shellWord(url)} | tar xf - -C ${shellWord(root)}; [ -e ${shellWord(whole)} ] || sleep 2; done; } &
`
}

/**
 * Shell text of the container `stage-out`: it waits until nothing is needed any more, but after the job has ended no
 * longer than `limitMs`. It ends with 0: how a pod ended is for the job to say. It empties a volume that outlives it.
 */
export function stageOutText(
  { limitMs, cleans }: { readonly limitMs: number; readonly cleans: boolean },
  places: Places = podPlaces,
): string {
  const { root, job, out } = places
  const clean = cleans ? `rm -rf ${words(`${root}/bin`, job, places.in, out, places.start)}\n` : ''
  return `${prelude(places)}until [ -e ${shellWord(out)} ] || [ -s ${shellWord(`${job}/exit`)} ]; do sleep ${tickSeconds}; done
${waitText(out, limitMs, 'break')}
${clean}exit 0
`
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
