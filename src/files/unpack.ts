import { createHash } from 'node:crypto'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { mkdtemp, realpath, rename } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { Readable, type Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { boxCommand } from '../isolation/box-command.ts'
import { awaitEnd } from '../isolation/box-end.ts'
import { asServer, noIsolation, type BoxView, type Isolation } from '../isolation/isolation.ts'
import { packagePaths } from '../isolation/package-paths.ts'
import { Problem, problems, type ProblemCode } from '../problem.ts'
import { defaultArchiveLimits, type ArchiveLimits } from './archive-limits.ts'
import { feed } from './feed.ts'
import type { Unpacked } from './quarantine.ts'
import { archiveTooLarge } from './refusal.ts'
import { removeTree } from './remove-tree.ts'
import { StartTurns } from './start-turns.ts'

type Child = ChildProcessByStdio<Writable, Readable, Readable>

const childFile = fileURLToPath(new URL(`unpack-child${extname(import.meta.url)}`, import.meta.url))
const childHeapMegabytes = 384
/** What reading really takes is below: Node sets memory aside that it does not use. */
const childMemoryBytes = 1024 ** 3
/** No disk takes less, so that a reader which uses more processor time is not reading any more. */
const bytesPerProcessorSecond = 4 * 1024 ** 2
const keptOutputCharacters = 16 * 1024

const childAnswer = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('unpacked'), entries: z.number(), bytes: z.number() }),
  z.object({
    kind: z.literal('refused'),
    code: z.custom<ProblemCode>((code) => typeof code === 'string' && code in problems),
    message: z.string(),
    hint: z.string().optional(),
  }),
])

/** What came of an archive. `digest` is the SHA-256 of the archive itself, in hexadecimal. */
export interface UnpackedArchive extends Unpacked {
  readonly digest: string
}

/**
 * Unpacks an uploaded tar.gz into `target`, a directory that does not exist yet or is empty; its parent has to exist.
 * The bytes go to a process of their own, which checks every entry before it writes it into a quarantine beside the
 * target; the quarantine becomes the target at the end. On any refusal nothing is left behind.
 * A reader that is isolated sees the target's parent and nothing else of what users have sent.
 * Its start waits for one of the `turns`, which processes that start at the same time share.
 * A source that is refused early is left open and paused; its owner drains or closes it.
 *
 * @throws Problem `archive-invalid`, `archive-unsafe`, `archive-too-large`, `disk-full`, `body-invalid` when the
 * source ends early; the error of the source; the reason of the signal.
 */
export async function unpackArchive(
  source: AsyncIterable<Buffer>,
  target: string,
  limits: ArchiveLimits = defaultArchiveLimits,
  signal?: AbortSignal,
  isolation: Isolation = noIsolation,
  turns: StartTurns = new StartTurns(1),
): Promise<UnpackedArchive> {
  const readable = source instanceof Readable ? source : Readable.from(source, { objectMode: false })
  // It may fail before anybody else listens; then `feed` finds it destroyed.
  readable.on('error', () => undefined)
  signal?.throwIfAborted()
  const endTurn = await turns.take(signal)
  let quarantine: string | undefined
  try {
    quarantine = await mkdtemp(join(dirname(target), `.${basename(target)}.`))
    const unpacked = await runChild(readable, quarantine, { limits, signal, isolation, started: endTurn })
    signal?.throwIfAborted()
    await rename(quarantine, target)
    return unpacked
  } catch (error) {
    if (quarantine !== undefined) await removeTree(quarantine)
    throw error
  } finally {
    endTurn()
    if (readable !== source) readable.destroy()
  }
}

interface ReaderOptions {
  readonly limits: ArchiveLimits
  readonly signal: AbortSignal | undefined
  readonly isolation: Isolation
  /** Told when the reader has begun to read. */
  readonly started: () => void
}

async function runChild(
  source: Readable,
  quarantine: string,
  { limits, signal, isolation, started }: ReaderOptions,
): Promise<UnpackedArchive> {
  const child = startChild(await realpath(quarantine), limits, isolation)
  const output = keepText(child.stdout)
  child.stdout.once('data', started)
  const complaints = keepText(child.stderr)
  const closed = awaitEnd(child)
  const interruption = Promise.withResolvers<never>()
  const timer = setTimeout(() => interruption.reject(stalled(limits)), limits.timeMs)
  const abort = () => interruption.reject(signal?.reason)
  let uploadedBytes = 0
  const digest = createHash('sha256')
  const feeding = feed(
    source,
    child.stdin,
    (chunk) => {
      uploadedBytes += chunk.length
      digest.update(chunk)
      if (uploadedBytes > limits.uploadBytes)
        throw archiveTooLarge(`The archive is larger than ${limits.uploadBytes} bytes.`)
    },
    () => timer.refresh(),
  )
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  try {
    const failure = feeding.done.then(() => new Promise<never>(() => undefined))
    await Promise.race([closed, failure, interruption.promise])
    return { ...readAnswer(output(), complaints(), child), digest: digest.digest('hex') }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
    feeding.stop()
    endGroup(child)
    await closed.catch(() => undefined)
  }
}

/** What the reader of an archive sees, and may take. `directory` holds its quarantine. */
export function readerView(directory: string, limits: ArchiveLimits): BoxView {
  return {
    base: 'node',
    readOnly: packagePaths(),
    readWrite: [directory],
    network: false,
    directory,
    isSession: true,
    limits: {
      memoryBytes: childMemoryBytes,
      processorSeconds: 60 + limits.unpackedBytes / bytesPerProcessorSecond,
      fileBytes: limits.unpackedBytes,
      openFiles: 256,
      processes: 64,
    },
  }
}

function startChild(quarantine: string, limits: ArchiveLimits, isolation: Isolation): Child {
  const directory = dirname(quarantine)
  const [program = '', ...words] = boxCommand(
    // What it writes belongs to the server until all of it was good.
    asServer(isolation),
    [
      process.execPath,
      `--max-old-space-size=${childHeapMegabytes}`,
      childFile,
      quarantine,
      JSON.stringify(limits),
    ],
    readerView(directory, limits),
  )
  const child = spawn(program, words, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {},
    cwd: directory,
    detached: true,
  })
  // The child leaves without reading to the end when it refuses; its answer tells why.
  child.stdin.on('error', () => undefined)
  return child
}

/** Ends the child and, where its box is only being made, the processes that do not yet die with it. */
function endGroup({ pid, exitCode, signalCode }: Child): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}

function readAnswer(output: string, complaints: string, child: Child): Unpacked {
  const answer = parseAnswer(output)
  if (answer?.kind === 'unpacked') return { entries: answer.entries, bytes: answer.bytes }
  if (answer)
    throw new Problem(answer.code, answer.message, answer.hint === undefined ? {} : { hint: answer.hint })
  const ending = child.signalCode ?? `exit code ${child.exitCode}`
  throw new Problem(
    'archive-invalid',
    `The archive could not be unpacked: its reader ended with ${ending}.`,
    {
      hint: 'It may need more memory than it is given: pack fewer entries or shorter names.',
      cause: new Error(complaints),
    },
  )
}

function parseAnswer(output: string): z.infer<typeof childAnswer> | undefined {
  try {
    return childAnswer.parse(JSON.parse(output))
  } catch {
    return undefined
  }
}

/** Reads a stream to its end and keeps the beginning. */
function keepText(stream: Readable): () => string {
  let text = ''
  stream.setEncoding('utf8')
  stream.on('error', () => undefined)
  stream.on('data', (piece: string) => {
    if (text.length < keptOutputCharacters) text += piece
  })
  return () => text
}

function stalled(limits: ArchiveLimits): Problem {
  return new Problem('archive-invalid', `Unpacking made no progress for ${limits.timeMs} ms.`, {
    hint: 'Send the archive without pauses; if the server is busy, try again.',
  })
}
