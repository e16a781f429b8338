import { archiveTooLarge, unsafeEntry } from './refusal.ts'

/** Lengths that every file system and tool of ours can carry, in bytes. */
export const nameLimits = { partBytes: 255, pathBytes: 1024, depth: 64 } as const

// C0, DEL and C1 control characters.
// oxlint-disable-next-line no-control-regex -- finding control characters is what it is for
const controlCharacters = /[\u0000-\u001f\u007f-\u009f]/

/**
 * The parts of an entry's name, without `.` and empty parts; none for the root itself.
 *
 * @throws Problem `archive-unsafe` when the name is not a plain relative one.
 */
export function splitEntryName(name: string): string[] {
  refuseCharacters(name, name, 'name')
  if (name.startsWith('/')) throw unsafeEntry(name, 'has an absolute name')
  if (/^[A-Za-z]:/.test(name)) throw unsafeEntry(name, 'has a name with a drive letter')
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw unsafeEntry(name, 'has a name with a parent step (..)')
  if (parts.length > nameLimits.depth)
    throw unsafeEntry(name, `lies deeper than ${nameLimits.depth} directories`)
  if (Buffer.byteLength(name) > nameLimits.pathBytes)
    throw unsafeEntry(name, `has a name longer than ${nameLimits.pathBytes} bytes`)
  if (parts.some((part) => Buffer.byteLength(part) > nameLimits.partBytes))
    throw unsafeEntry(name, `has a part longer than ${nameLimits.partBytes} bytes in its name`)
  return parts
}

/**
 * Checks the text of a link's target. Where it really leads is checked when all links are there.
 *
 * @throws Problem `archive-unsafe`
 */
export function checkLinkTarget(name: string, target: string): void {
  refuseCharacters(name, target, 'link target')
  if (target === '') throw unsafeEntry(name, 'is a link without a target')
  if (target.startsWith('/')) throw unsafeEntry(name, 'is a link with an absolute target')
  if (/^[A-Za-z]:/.test(target)) throw unsafeEntry(name, 'is a link with a drive letter in its target')
  if (Buffer.byteLength(target) > nameLimits.pathBytes)
    throw unsafeEntry(name, `is a link whose target is longer than ${nameLimits.pathBytes} bytes`)
}

function refuseCharacters(name: string, text: string, what: string): void {
  if (controlCharacters.test(text)) throw unsafeEntry(name, `has a control character in its ${what}`)
  if (text.includes('\\')) throw unsafeEntry(name, `has a backslash in its ${what}`)
  if (text.includes('\ufffd')) throw unsafeEntry(name, `has a ${what} that is not valid UTF-8`)
}

interface NameNode {
  readonly spelling: string
  readonly kind: 'file' | 'directory' | 'link'
  /** Whether an entry named it; directories also come into being by the names of what lies in them. */
  named: boolean
  readonly children: Map<string, NameNode>
}

/** The names taken so far, as a tree whose keys are in Unicode normal form C. */
export interface NameTree {
  /**
   * Takes a name for an entry and gives back the directories, as paths, that have to be made for it, outermost first.
   *
   * @throws Problem `archive-unsafe` when the name is taken or lies below something that is not a directory;
   * `archive-too-large` when there are too many.
   */
  claim(name: string, parts: readonly string[], kind: NameNode['kind']): string[]
}

export function createNameTree(maximumEntries: number): NameTree {
  const root = createNode('', 'directory')
  let entries = 0

  function count(): void {
    entries += 1
    if (entries > maximumEntries)
      throw archiveTooLarge(`The archive has more than ${maximumEntries} entries.`)
  }

  function claim(name: string, parts: readonly string[], kind: NameNode['kind']): string[] {
    const last = parts.at(-1)
    const newDirectories: string[] = []
    count()
    if (last === undefined) {
      if (kind !== 'directory') throw unsafeEntry(name, 'has no name of its own but is not a directory')
      return newDirectories
    }
    let node = root
    for (const [index, part] of parts.slice(0, -1).entries()) {
      let child = findChild(node, part, name)
      if (child && child.kind !== 'directory') throw unsafeEntry(name, `uses a ${child.kind} as a directory`)
      if (!child) {
        count()
        child = addChild(node, part, 'directory')
        newDirectories.push(parts.slice(0, index + 1).join('/'))
      }
      node = child
    }
    const taken = findChild(node, last, name)
    if (taken && (taken.named || kind !== 'directory' || taken.kind !== 'directory'))
      throw unsafeEntry(name, 'comes twice or has the name of a directory')
    const own = taken ?? addChild(node, last, kind)
    own.named = true
    if (!taken && kind === 'directory') newDirectories.push(parts.join('/'))
    return newDirectories
  }

  return { claim }
}

function findChild(node: NameNode, part: string, name: string): NameNode | undefined {
  const child = node.children.get(part.normalize('NFC'))
  if (child && child.spelling !== part)
    throw unsafeEntry(name, 'has the name of another entry, written with other Unicode characters')
  return child
}

function addChild(node: NameNode, part: string, kind: NameNode['kind']): NameNode {
  const child = createNode(part, kind)
  node.children.set(part.normalize('NFC'), child)
  return child
}

function createNode(spelling: string, kind: NameNode['kind']): NameNode {
  return { spelling, kind, named: false, children: kind === 'directory' ? new Map() : noChildren }
}

// Files and links share one empty map: two hundred thousand maps would cost more than the names.
const noChildren = new Map<string, NameNode>()
