import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { untilNoProcessWith } from '../conformance/processes.ts'
import { until } from '../conformance/until.ts'

export interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly pid: number
  readonly ended: Promise<Ended>
  /** Waits until stdout and stderr together match, and answers with the match. */
  shows(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>
}

/** A place to run commands in: everything they leave behind, processes too, is looked for at the end. */
export interface Playground extends AsyncDisposable {
  readonly directory: string
  /** What TMPDIR names for the commands. */
  readonly temporary: string
  start(program: string, words: readonly string[], variables?: Record<string, string>): Running
  run(program: string, words: readonly string[], variables?: Record<string, string>): Promise<Ended>
}

export const molehill = join(import.meta.dirname, '..', '..', 'bin', 'molehill')

/** Disposing ends what still runs, waits until no process is left, and deletes the directory. */
export async function openPlayground(): Promise<Playground> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'molehill-cli-')))
  const temporary = join(directory, 'tmp')
  await mkdir(temporary)
  const running = new Set<Running>()
  const start: Playground['start'] = (program, words, variables = {}) => {
    const each = startCommand(program, words, {
      PATH: process.env.PATH ?? '',
      HOME: directory,
      XDG_CONFIG_HOME: join(directory, 'config'),
      TMPDIR: temporary,
      ...variables,
    })
    running.add(each)
    void each.ended.finally(() => running.delete(each)).catch(() => undefined)
    return each
  }
  return {
    directory,
    temporary,
    start,
    run: (program, words, variables) => start(program, words, variables).ended,
    async [Symbol.asyncDispose]() {
      for (const { pid, ended } of running) {
        process.kill(pid, 'SIGTERM')
        await ended
      }
      await untilNoProcessWith(`TMPDIR=${temporary}`)
      await rm(directory, { recursive: true })
    },
  }

  function startCommand(program: string, words: readonly string[], env: Record<string, string>): Running {
    const child = spawn(program, words, { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const text = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const)
      child[name].setEncoding('utf8').on('data', (chunk: string) => (text[name] += chunk))
    const ended = once(child, 'close').then(([exitCode]: (number | null)[]) => ({
      exitCode: exitCode ?? null,
      ...text,
    }))
    return {
      pid: child.pid ?? 0,
      ended,
      shows: (pattern, timeoutMs) =>
        until(
          `${words.join(' ')} shows ${String(pattern)}`,
          () => pattern.exec(text.stdout + text.stderr) ?? undefined,
          () => text,
          timeoutMs,
        ),
    }
  }
}
