/** A row of `qstat -xml`: its elements by name, as text. */
export type QstatRow = Readonly<Record<string, string>>

/**
 * The `job_list` elements of `qstat -xml`, which hold texts only. Undefined where the text is no whole answer: it does
 * not end as one does.
 */
export function readQstatXml(text: string): readonly QstatRow[] | undefined {
  const whole = /<job_info\b[\s\S]*<\/job_info>\s*<\/job_info>/.exec(text)?.[0]
  if (whole === undefined) return undefined
  return Array.from(whole.matchAll(/<job_list\b[^>]*>([\s\S]*?)<\/job_list>/g), ([, inside]) =>
    Object.fromEntries(
      Array.from((inside ?? '').matchAll(/<(\w+)>([^<]*)<\/\1>/g), ([, name, value]) => [
        name!,
        decoded(value!),
      ]),
    ),
  )
}

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function decoded(text: string): string {
  return text.replaceAll(/&(lt|gt|amp|quot|apos);/g, (whole, name: string) => entities[name] ?? whole)
}

/** The numbers that a list of SGE's array tasks names: `1,4-10:2`. */
export function tasksIn(text: string, atMost: number): readonly number[] {
  const tasks: number[] = []
  for (const part of text.split(',')) {
    const range = /^(\d+)(?:-(\d+)(?::(\d+))?)?$/.exec(part.trim())
    if (range === null) continue
    const first = Number(range[1])
    const last = Math.min(Number(range[2] ?? first), atMost)
    for (let task = first; task <= last; task += Number(range[3] ?? 1) || 1) tasks.push(task)
  }
  return tasks
}
