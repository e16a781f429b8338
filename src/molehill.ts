/** What a workflow script imports from `molehill`. */
export * from '../environments/language.ts'
export { batch } from './workflow/batch.ts'
export { input, output } from './workflow/description.ts'
export { copyFile, csv, display, jsonLines } from './workflow/hook.ts'
export type { Hook } from './workflow/hook.ts'
export {
  between,
  cross,
  files,
  lhs,
  list,
  range,
  replicate,
  uniform,
  withIndex,
  zip,
} from './workflow/sampling.ts'
export type { Bound, Factor, Sampling } from './workflow/sampling.ts'
export { keepFile, placeFile, readJson, readStdout, readText } from './workflow/task.ts'
export type { FunctionJob } from './workflow/task.ts'
export { shell, text } from './workflow/template.ts'
export { boolean, file, integer, json, number, string } from './workflow/value.ts'
export type { ContextOf, Json, Value } from './workflow/value.ts'
export { Capsule, commandTask, explore, functionTask, parallel, Workflow } from './workflow/workflow.ts'
