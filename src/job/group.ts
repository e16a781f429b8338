import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CollectedFiles, JobId, JobRequest } from '../environment/environment.ts'
import { quoteWord } from './quote.ts'

/**
 * Several jobs as one environment job: a script runs them one after the other, each in a directory of its own that
 * shows the same files as the job directory, and notes each exit code. Needs nothing but a POSIX shell.
 */
export function groupRequests(id: JobId, members: readonly JobRequest[]): JobRequest {
  const first = members[0]
  if (first === undefined) throw new Error('A group needs at least one member.')
  const wallTimesMs = members.flatMap(({ resources }) => resources.wallTimeMs ?? [])
  return {
    id,
    command: ['/bin/sh', '-c', groupScript(members)],
    env: {},
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

function groupScript(members: readonly JobRequest[]): string {
  const runs = members.map((member, index) => {
    const name = memberName(index)
    const assignments = Object.entries(member.env).map(([key, value]) => quoteWord(`${key}=${value}`))
    const command = ['env', ...assignments, ...member.command.map((word) => quoteWord(word))].join(' ')
    const own = member.outputs.map(({ path }) => quoteWord(`${name}/${path}`)).join(' ')
    return [
      `mkdir -p ${name}`,
      `show "$PWD" "$PWD/${name}"`,
      ...(own === '' ? [] : [`for own in ${own}; do [ -L "$own" ] && rm -f "$own"; done`]),
      `(cd ${name} && exec ${command}) >${name}.out 2>${name}.err </dev/null`,
      `echo $? >${name}.exit`,
    ].join('\n')
  })
  // A member's directory may hold directories already, made for its inputs and outputs: those are filled, not linked.
  return `show() (
  for entry in "$1"/* "$1"/.[!.]*; do
    name=\${entry##*/}
    case $name in .member-*) continue ;; esac
    [ -e "$entry" ] || continue
    if [ -d "$2/$name" ] && [ ! -L "$2/$name" ]; then show "$entry" "$2/$name"
    elif [ ! -e "$2/$name" ]; then ln -s "$entry" "$2/$name"; fi
  done
)
${runs.join('\n')}
`
}
