/** What the operator asks for: a box or nothing at all, a box where there can be one, or none. */
export type IsolationWish = 'required' | 'best-effort' | 'none'

/** What this computer can do to keep apart what users send. Made once at the start, by `probeIsolation`. */
export interface Isolation {
  readonly wish: IsolationWish
  /** Absolute path of bwrap, where a box made with it was seen to work. */
  readonly bubblewrap?: string
  /** Absolute path of prlimit. */
  readonly prlimit?: string
  /** Whether bwrap can limit the size of a private /tmp: from 0.7 on. */
  readonly canLimitTemporary: boolean
  /** Whether bwrap can forbid user namespaces inside, and with them a large part of the kernel: from 0.8 on. */
  readonly canForbidNamespaces: boolean
  /** Whether the server's user is root, whose processes keep no rights in the box that its files do not need. */
  readonly isRoot: boolean
  /** As whom scripts and tasks run in their boxes; as the server's user without. */
  readonly taskUser?: TaskUser
  /** Where programs lie: what every box has of the computer. */
  readonly system: readonly SystemPath[]
  /** Paths below `system` that others of this computer may not read: no box shows them. */
  readonly masked: readonly { readonly path: string; readonly kind: 'file' | 'directory' }[]
  /** One sentence for people: what there is and what not. */
  readonly report: string
  /** Whether there is less than was asked for. */
  readonly isWeaker: boolean
}

/** A user of this computer that may do less than the server's, and what changes to it. */
export interface TaskUser {
  readonly name: string
  readonly userId: number
  readonly groupId: number
  /** Absolute path of setpriv. */
  readonly setpriv: string
}

/** A path that is shown as it is, or as the link that it is. */
export interface SystemPath {
  readonly path: string
  readonly linkTo?: string
}

/** What one process and each that it starts may take. Where limits are given, no core dumps are written. */
export interface ProcessLimits {
  /** Private memory (RLIMIT_DATA). */
  readonly memoryBytes?: number
  readonly processorSeconds?: number
  /** Largest file that may be written. */
  readonly fileBytes?: number
  readonly openFiles?: number
  /** Processes and threads in the box together. Root's are not counted, and nothing is without a box. */
  readonly processes?: number
}

/** What may be seen from inside a box. */
export interface BoxView {
  /**
   * What is there of the computer: `node`, only what Node itself needs; `system`, what programs need; `computer`, all
   * that the server's user may use, but no processes outside of the box.
   */
  readonly base: 'node' | 'system' | 'computer'
  /** Directories that are seen empty, but for the places below them that are named. */
  readonly hidden?: readonly string[]
  /** Left out where they do not exist. */
  readonly readOnly: readonly string[]
  readonly readWrite: readonly string[]
  readonly network: boolean
  readonly limits?: ProcessLimits
  /** Where the program starts: one of the places above. */
  readonly directory?: string
  /** Whether the program leads a session and a process group of its own. */
  readonly isSession?: boolean
}

/** Nothing asked for, nothing there. */
export const noIsolation: Isolation = {
  wish: 'none',
  canLimitTemporary: false,
  canForbidNamespaces: false,
  isRoot: false,
  system: [],
  masked: [],
  report: 'What users send runs as the server does: isolation is switched off.',
  isWeaker: false,
}

/** The same for programs of ours that handle what users send: they run as the server's user. */
export function asServer(isolation: Isolation): Isolation {
  const { taskUser: _, ...others } = isolation
  return others
}

/** Whether programs of users are put into a box. */
export function hasBox({ bubblewrap }: Isolation): boolean {
  return bubblewrap !== undefined
}
