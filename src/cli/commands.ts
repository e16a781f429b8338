import type { CommandModule } from './command.ts'

export interface CommandEntry {
  readonly name: string
  readonly summary: string
  /** A command's own file is read only when that command is meant: a cold start stays short. */
  readonly load: () => Promise<CommandModule>
}

/** Every command, in the order of the help. */
export const commands: readonly CommandEntry[] = [
  { name: 'init', summary: 'make a directory to start a workflow from', load: () => import('./init.ts') },
  { name: 'run', summary: 'run a workflow here, without a server', load: () => import('./run.ts') },
  { name: 'validate', summary: 'check a workflow without running it', load: () => import('./validate.ts') },
  { name: 'serve', summary: 'start the server', load: () => import('./serve.ts') },
  { name: 'password', summary: 'set the password of a server', load: () => import('./password.ts') },
  { name: 'token', summary: 'log in to a server', load: () => import('./token.ts') },
  { name: 'start', summary: 'send a directory to a server and start it', load: () => import('./start.ts') },
  { name: 'list', summary: 'list the executions of a server', load: () => import('./list.ts') },
  { name: 'state', summary: 'show how far an execution is', load: () => import('./state.ts') },
  { name: 'jobs', summary: 'list the jobs of an execution', load: () => import('./jobs.ts') },
  { name: 'explain', summary: 'say why jobs wait', load: () => import('./explain.ts') },
  { name: 'output', summary: 'print what an execution has written', load: () => import('./output.ts') },
  { name: 'files', summary: 'list the files of an execution', load: () => import('./files.ts') },
  { name: 'download', summary: 'fetch files of an execution', load: () => import('./download.ts') },
  { name: 'cancel', summary: 'stop an execution and keep its files', load: () => import('./cancel.ts') },
  { name: 'remove', summary: 'stop an execution and delete all of it', load: () => import('./remove.ts') },
  {
    name: 'environment',
    summary: 'keep, check and list places where jobs run',
    load: () => import('./environment.ts'),
  },
  {
    name: 'catalog',
    summary: 'install workflows that are started by name',
    load: () => import('./catalog.ts'),
  },
  {
    name: 'describe',
    summary: 'show what a workflow of the catalog takes',
    load: () => import('./describe.ts'),
  },
  {
    name: 'user',
    summary: 'add, list and remove users of a server, and their keys',
    load: () => import('./user.ts'),
  },
  {
    name: 'boinc',
    summary: "keep accounts and keys for volunteers' hosts",
    load: () => import('./boinc.ts'),
  },
  {
    name: 'runtime',
    summary: 'put what function tasks need into a directory, for images',
    load: () => import('./runtime.ts'),
  },
  { name: 'doctor', summary: 'check what a server needs to run well', load: () => import('./doctor.ts') },
  { name: 'config', summary: 'show the options of the server in effect', load: () => import('./config.ts') },
]
