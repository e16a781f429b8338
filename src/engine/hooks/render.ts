import { asWord, fill } from '../../job/command.ts'
import type { Context } from '../../workflow/context.ts'
import type { PlanHook } from '../../workflow/plan.ts'
import type { Json } from '../../workflow/value.ts'
import { csvLine, csvRows } from './csv.ts'

/** What a hook does for one job, ready to be noted in the journal and then done. */
export type HookEffect =
  | { readonly kind: 'display'; readonly text: string }
  | {
      readonly kind: 'append'
      /** Relative to the work directory. */
      readonly path: string
      readonly text: string
      /** Goes first into an empty file. */
      readonly header: string
      /** Keeps what the file held before the execution. */
      readonly keepsOld: boolean
    }
  /** `from` is a file value, `path` relative to the work directory. */
  | { readonly kind: 'copy'; readonly path: string; readonly from: string }

/** A hook that could not be carried out with the values at hand. */
export class HookError extends Error {
  override readonly name = 'HookError'
}

/**
 * The effect of one hook on one completed job.
 * @param displayed what the script's function returned, for hooks that display a function's text
 * Throws HookError when the values do not allow it.
 */
export function renderHook(hook: PlanHook, context: Context, displayed: unknown): HookEffect {
  switch (hook.kind) {
    case 'display-values':
      return line(hook.values.map((name) => `${name} = ${show(context, name)}`).join(', '))
    case 'display-text':
      return line(fill(hook.template, (name) => show(context, name)))
    case 'display-function':
      return line(typeof displayed === 'string' ? displayed : JSON.stringify(displayed ?? null))
    case 'csv': {
      const { path, header, arrays, append } = hook
      const text = csvRows(
        hook.values.map((name) => withoutPlace(context[name] ?? null)),
        arrays,
      )
      return { kind: 'append', path, text, header: header ? csvLine(hook.values) : '', keepsOld: append }
    }
    case 'json-lines': {
      const { path, append } = hook
      const object = Object.fromEntries(
        hook.values.map((name) => [name, withoutPlace(context[name] ?? null)]),
      )
      return { kind: 'append', path, text: `${JSON.stringify(object)}\n`, header: '', keepsOld: append }
    }
    case 'copy-file': {
      const from = context[hook.value]
      if (typeof from !== 'string') throw new HookError(`copyFile: ${hook.value} holds no file.`)
      const path = fill(hook.to, (name) => show(context, name))
      if (path.startsWith('/') || path.split('/').includes('..') || path.includes('\0'))
        throw new HookError(`copyFile: ${JSON.stringify(path)} leads out of the work directory.`)
      return { kind: 'copy', path, from }
    }
  }
}

function line(text: string): HookEffect {
  return { kind: 'display', text: text.endsWith('\n') ? text : `${text}\n` }
}

function show(context: Context, name: string): string {
  return asWord(withoutPlace(context[name] ?? null))
}

/** File values as a reader of the work directory knows them: without `work/` in front. */
function withoutPlace(value: Json): Json {
  if (typeof value === 'string') return value.startsWith('work/') ? value.slice('work/'.length) : value
  return Array.isArray(value) ? value.map((each: Json) => withoutPlace(each)) : value
}
