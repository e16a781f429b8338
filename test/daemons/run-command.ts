import { spawn } from 'node:child_process'

export interface CommandOptions {
  readonly variables?: Readonly<Record<string, string>>
  readonly input?: string
  readonly timeoutMs?: number
}

export interface CommandResult {
  /** 128 + 9 when it was killed for taking too long. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end, whatever its exit code. */
export function tryCommand(
  command: readonly string[],
  { variables = {}, input = '', timeoutMs = 60_000 }: CommandOptions = {},
): Promise<CommandResult> {
  const [program = '', ...rest] = command
  return new Promise((resolve, reject) => {
    // daemons lie where not every root looks
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    const child = spawn(program, rest, { env: { ...process.env, PATH: path, ...variables } })
    const out: Buffer[] = []
    const error: Buffer[] = []
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => error.push(chunk))
    // A command may end without reading its input.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    child.on('error', (cause) => {
      clearTimeout(timer)
      reject(cause)
    })
    child.on('close', (code) => {
      clearTimeout(timer)
      const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString()
      resolve({ code: code ?? 137, stdout: text(out), stderr: text(error) })
    })
  })
}

/** Runs a command that must succeed, and gives what it printed. */
export async function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await tryCommand(command, options)
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${stderr}${stdout}`)
  return stdout
}
