import { shellWord } from './command-text.ts'
import { podPlaces, type Places } from './places.ts'

/** Variables of the container that fetches files. */
export const fetchVariables = {
  address: 'MOLEHILL_FILES',
  token: 'MOLEHILL_TOKEN',
  pod: 'MOLEHILL_POD',
  authority: 'MOLEHILL_AUTHORITY',
} as const

export interface FetchWay {
  /** By curl, since busybox's wget checks no certificate. */
  readonly isHttps: boolean
  /** Whether `MOLEHILL_AUTHORITY` says who signs the server's certificate. */
  readonly hasAuthority: boolean
}

/** Tries that come soon after one another: the server must have seen the pod first. Later ones are seconds apart. */
const soonTries = 20

/**
 * Shell text that fetches the files of a job and writes the file `in` when all are there. What is cut is fetched anew: it
 * may look like an end to tar, but then `start` is missing, which comes last. Fails with the words of the program at its last try.
 */
export function fetchText(limitMs: number, way: FetchWay, places: Places = podPlaces): string {
  const [root, whole, got, unpacked] = [
    places.root,
    places.in,
    `${places.root}/said-got`,
    `${places.root}/said-unpacked`,
  ].map(shellWord)
  return `${getText('molehill_get', { ...way, isAuthorized: true }, places)}
molehill_unpack() {
  cd ${root} || return 1
  if [ -e shared ]; then chmod -R u+w shared && rm -rf shared || return 1; fi
  molehill_get "$MOLEHILL_FILES" 2>${got} | tar -x -f - && chmod -R a+rX shared start outputs && : >${whole}
}
molehill_until=$(($(date +%s) + ${secondsOf(limitMs)}))
molehill_tries=0
until [ -e ${whole} ]; do
  molehill_rest=$((molehill_until - $(date +%s)))
  [ "$molehill_rest" -gt 0 ] || molehill_fail "The files could not be fetched from $MOLEHILL_FILES in time: $(cat ${got} ${unpacked} | head -n 1)"
  ( molehill_unpack ) 2>${unpacked}
  molehill_tries=$((molehill_tries + 1))
  if [ -e ${whole} ]; then rm -f ${got} ${unpacked}
  elif [ "$molehill_tries" -lt ${soonTries} ]; then sleep 0.5
  else sleep 5; fi
done`
}

/** The last entry of an archive of a content: it is there once all is. */
export const wholeName = 'whole'

/** Shell text that fetches what the file `contents` names, lines `HASH ADDRESS`: each goes below `shared/HASH`. */
export function contentsText(limitMs: number, way: FetchWay, places: Places = podPlaces): string {
  const [root, contents, got, unpacked] = [
    places.root,
    `${places.root}/contents`,
    `${places.root}/said-got`,
    `${places.root}/said-unpacked`,
  ].map(shellWord)
  return `${getText('molehill_get_content', { ...way, isAuthorized: false }, places)}
molehill_unpack_content() {
  cd ${root} && mkdir -p "shared/$1" && cd "shared/$1" || return 1
  molehill_get_content "$2" 2>${got} | tar -x -f - && chmod -R a+rX . && mv ${wholeName} there
}
molehill_until=$(($(date +%s) + ${secondsOf(limitMs)}))
[ ! -e ${contents} ] || while read -r molehill_hash molehill_address; do
  until [ -e ${root}/shared/"$molehill_hash"/there ]; do
    molehill_rest=$((molehill_until - $(date +%s)))
    [ "$molehill_rest" -gt 0 ] || molehill_fail "The shared files could not be fetched from \${molehill_address%%[?]*} in time: $(cat ${got} ${unpacked} | head -n 1)"
    ( molehill_unpack_content "$molehill_hash" "$molehill_address" ) </dev/null 2>${unpacked}
    [ -e ${root}/shared/"$molehill_hash"/there ] || sleep 2
  done
done <${contents}
rm -f ${contents} ${got} ${unpacked}`
}

function secondsOf(milliseconds: number): number {
  return Math.max(1, Math.ceil(milliseconds / 1000))
}

/** A function that writes what lies at an address to standard output, within `molehill_rest` seconds. */
function getText(name: string, way: FetchWay & { readonly isAuthorized: boolean }, { root }: Places): string {
  const { isHttps, hasAuthority, isAuthorized } = way
  if (!isHttps) {
    const headers = isAuthorized
      ? `--header "Authorization: Bearer $MOLEHILL_TOKEN" --header "Molehill-Pod: $MOLEHILL_POD" `
      : ''
    // Some busyboxes know a limit for silence, all of them a limit in all.
    return `molehill_silence=$(wget --help 2>&1 | grep -q -e '-T SEC' && echo -T 60)
${name}() { timeout "$molehill_rest" wget $molehill_silence -q -O - ${headers}"$1"; }`
  }
  const authority = shellWord(`${root}/authority`)
  const flags = `-f -s -S --proto =https --connect-timeout 30 --speed-limit 1 --speed-time 60 --max-time "$molehill_rest"`
  const certificates = hasAuthority ? ` --cacert ${authority}` : ''
  // The token goes by standard input, where no list of processes shows it.
  const headers = `printf 'Authorization: Bearer %s\\nMolehill-Pod: %s\\n' "$MOLEHILL_TOKEN" "$MOLEHILL_POD" | `
  return `command -v curl >/dev/null || molehill_fail "The staging image holds no curl, which https:// needs."
${hasAuthority ? `printf '%s\\n' "$MOLEHILL_AUTHORITY" >${authority}` : ':'}
${name}() { ${isAuthorized ? headers : ''}curl ${flags}${certificates}${isAuthorized ? ' --header @-' : ''} "$1"; }`
}
