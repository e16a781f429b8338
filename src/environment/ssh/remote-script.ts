import { execText, quote } from '../quote.ts'
import type { HostCommand } from '../host.ts'

/** How long a shell on the host waits for a word from here before it ends: its connection may be gone unnoticed. */
export const shellPatienceMs = 900_000

/** Text on which the shell at the other end begins: with what the user's login sets, then without its functions. */
function profileText(loginProfile: boolean): string {
  if (!loginProfile) return ''
  const files = '"$HOME/.bash_profile" "$HOME/.bash_login" "$HOME/.profile"'
  return (
    `{ [ -r /etc/profile ] && . /etc/profile; for f in ${files}; do [ -r "$f" ] && { . "$f"; break; }; done; ` +
    '} </dev/null >/dev/null 2>&1; unset f; exec bash --noprofile --norc -s\n'
  )
}

/**
 * The first text for a shell that takes commands, a line each. `set -m` gives each command a process group of its own,
 * so that it can be ended alone. Parsed answers are in English; jobs do not get this locale: see `userLocale`.
 */
export function agentText(mark: string, loginProfile: boolean): string {
  return (
    profileText(loginProfile) +
    `${keepLocale}set -m; unset OLDPWD; ` +
    `printf '%s\\n' '${mark}<>'"\${BASH_VERSINFO[0]:-0} $(printf '%(%s)T' -1)"; ` +
    `while IFS= read -r -t ${shellPatienceMs / 1000} line; do eval "$line"; done; exit 0\n`
  )
}

/** Keeps the locale of the user beside the one that we need. */
const keepLocale = 'export MOLEHILL_LOCALE="${LC_ALL-unset}"; export LC_ALL=C; '

/** Shell text that gives back the locale that the user's login had. */
export const userLocale =
  'case ${MOLEHILL_LOCALE-unset} in unset) unset LC_ALL ;; *) export LC_ALL="$MOLEHILL_LOCALE" ;; esac; unset MOLEHILL_LOCALE'

/** The line that makes an agent run one command. The answer stands between `MARK<` and `MARK>` on both streams. */
export function askText(mark: string, command: HostCommand): string {
  const input = typeof command.input === 'string' && command.input !== '' ? command.input : undefined
  const stdin = input === undefined ? '</dev/null' : `< <(printf %s ${quote(input)})`
  return (
    `printf '${mark}<'; ( printf '${mark}<%s\\n' "$BASHPID" >&2; ${commandText(command)} ) ${stdin} & wait $!; ` +
    `c=$?; printf '${mark}>%s\\n' $c; printf '${mark}>%s\\n' $c >&2\n`
  )
}

/** The line that ends a command of another agent with all its processes. */
export function killText(group: number): string {
  return `kill -KILL -- -${group} 2>/dev/null\n`
}

/**
 * The first text for a shell that runs one program, which gets all that follows as its input. On the error stream
 * `MARK<GROUP` stands before what it says and `MARK>CODE` after it; its output begins after `MARK<`.
 */
export function channelText(mark: string, command: Pick<HostCommand, 'argv' | 'variables'>): string {
  return (
    `{ ${keepLocale}set -m; printf '${mark}<'; ` +
    `( printf '${mark}<%s\\n' "$BASHPID" >&2; ${commandText(command)} ) <&0 & wait $!; ` +
    `c=$?; printf '${mark}>%s\\n' $c >&2; exit $c; }\n`
  )
}

function commandText({ argv, variables = {} }: Pick<HostCommand, 'argv' | 'variables'>): string {
  return execText(argv, variables)
}
