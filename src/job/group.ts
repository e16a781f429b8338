import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CollectedFiles, JobId, JobRequest } from '../environment/environment.ts'
import { quoteWord } from './quote.ts'

/** No variable and no argument of a program holds more than 128 KiB on Linux. */
const partCharacters = 30_000

/**
 * Several jobs as one environment job: a script runs them one after the other, each in a directory of its own that
 * shows the same files as the job directory, and notes each exit code. Needs nothing but a POSIX shell. The script goes
 * in variables: arguments are seen by all users of a computer, and it holds what is meant for the members alone.
 */
export function groupRequests(id: JobId, members: readonly JobRequest[]): JobRequest {
  const first = members[0]
  if (first === undefined) throw new Error('A group needs at least one member.')
  const parts = partsOf(groupScript(members)).map((part, index) => [`MOLEHILL_GROUP_${index}`, part] as const)
  const names = parts.map(([name]) => name).join(' ')
  const values = parts.map(([name]) => `"$${name}"`).join('')
  const wallTimesMs = members.flatMap(({ resources }) => resources.wallTimeMs ?? [])
  return {
    id,
    command: ['/bin/sh', '-c', `molehill_script=${values}; unset ${names}; eval "$molehill_script"`],
    env: Object.fromEntries(parts),
    workDirectory: first.workDirectory,
    ...(first.linksWithin !== undefined && { linksWithin: first.linksWithin }),
    inputs: members.flatMap(({ inputs }, index) =>
      inputs.map(({ from, to }) => ({ from, to: `${memberName(index)}/${to}` })),
    ),
    outputs: members.flatMap(({ outputs, returnsPrinted }, index) => [
      { path: `${memberName(index)}.out`, optional: true, varies: returnsPrinted !== true },
      { path: `${memberName(index)}.err`, optional: true, varies: true },
      { path: `${memberName(index)}.exit`, optional: true },
      ...outputs.map((output) => ({
        ...output,
        path: `${memberName(index)}/${output.path}`,
        optional: true,
      })),
    ]),
    resources: {
      ...first.resources,
      ...(wallTimesMs.length > 0 && { wallTimeMs: wallTimesMs.reduce((sum, each) => sum + each, 0) }),
    },
  }
}

/** What one member of a group came to. */
export interface MemberResult {
  /** Undefined when the group ended before the member did. */
  readonly exitCode: number | undefined
  readonly collected: CollectedFiles
  readonly directory: string
}

/** Takes apart what was collected of a group into what each member would have left alone. */
export async function splitGroup(
  members: readonly JobRequest[],
  directory: string,
): Promise<readonly MemberResult[]> {
  return Promise.all(
    members.map(async ({ outputs }, index) => {
      const member = join(directory, memberName(index))
      const code = await readFile(`${member}.exit`, 'utf8').catch(() => '')
      const files: string[] = []
      const missing: string[] = []
      for (const { path } of outputs) {
        const isThere = await access(join(member, path)).then(
          () => true,
          () => false,
        )
        ;(isThere ? files : missing).push(path)
      }
      return {
        exitCode: code.trim() === '' ? undefined : Number(code),
        directory: member,
        collected: { files, missing, stdout: `${member}.out`, stderr: `${member}.err` },
      }
    }),
  )
}

function memberName(index: number): string {
  return `.member-${index}`
}

function partsOf(text: string): readonly string[] {
  const characters = Array.from(text)
  const parts: string[] = []
  for (let at = 0; at < characters.length; at += partCharacters)
    parts.push(characters.slice(at, at + partCharacters).join(''))
  return parts
}

/** Variables of which some shell has a mind of its own: env(1) passes them on as they are. */
const variablesOfShells =
  /^(_|BASH.*|EUID|UID|PPID|SHELLOPTS|OPTIND|LINENO|IFS|ENV|PWD|OLDPWD|PS[0-9]|RANDOM|SECONDS)$/

function runText({ command, env }: JobRequest): string {
  const exported: string[] = []
  const throughEnv: string[] = []
  for (const [name, value] of Object.entries(env))
    if (/^[A-Za-z_]\w*$/.test(name) && !variablesOfShells.test(name))
      exported.push(`export ${name}=${quoteWord(value)}; `)
    else throughEnv.push(quoteWord(`${name}=${value}`))
  const words = ['env', ...throughEnv, ...command.map((word) => quoteWord(word))]
  return `${exported.join('')}exec ${words.join(' ')}`
}

function groupScript(members: readonly JobRequest[]): string {
  const runs = members.map((member, index) => {
    const own = member.outputs.map(({ path }) => ` ${quoteWord(path)}`).join('')
    return `begin ${index}
show "$PWD/$member" "$@"
clear${own}
(cd "$member" && ${runText(member)}) >"$member.out" 2>"$member.err" </dev/null
echo $? >"$member.exit"
`
  })
  // A member's directory may hold directories already, made for its inputs and outputs: those are filled, not linked.
  return `unset member own entry
show() (
  into=$1
  shift
  for entry; do
    [ -e "$entry" ] || continue
    name=\${entry##*/}
    if [ -d "$into/$name" ] && [ ! -L "$into/$name" ]; then show "$into/$name" "$entry"/* "$entry"/.[!.]*
    elif [ ! -e "$into/$name" ]; then ln -s "$entry" "$into/$name"; fi
  done
)
begin() { member=.member-$1; mkdir -p "$member"; }
clear() { for own; do [ -L "$member/$own" ] && rm -f "$member/$own"; done; }
set --
for entry in "$PWD"/* "$PWD"/.[!.]*; do
  case \${entry##*/} in .member-*) ;; *) set -- "$@" "$entry" ;; esac
done
${runs.join('')}`
}
