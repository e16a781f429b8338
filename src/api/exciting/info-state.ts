import { Problem } from '../../problem.ts'
import { childNamed, childrenNamed, parseXml, type XmlElement } from '../xml.ts'
import { decodeXml } from './decode-xml.ts'
import type { CalculationFile } from './calculation.ts'

/** What info.xml tells: whether the ground state is reached, and how many steps were made. */
export interface InfoProgress {
  readonly isFinished: boolean
  readonly iterations: number
}

/** Reads info.xml; undefined while it is not there, or incomplete because the program is writing it. */
export function readInfo(files: readonly CalculationFile[]): InfoProgress | undefined {
  const root = parseFile(files, 'info.xml')
  if (root?.name !== 'info') return undefined
  const groundState = childNamed(root, 'groundstate')
  const loop = groundState === undefined ? undefined : childNamed(groundState, 'scl')
  return {
    isFinished: groundState?.attributes['status'] === 'finished',
    iterations: loop === undefined ? 0 : childrenNamed(loop, 'iter').length,
  }
}

/** Whether a calculation that has ended did what its input asks for. */
export function isFinished(files: readonly CalculationFile[], exitCode: number | undefined): boolean {
  if (readInfo(files)?.isFinished === true) return true
  const input = parseFile(files, 'input.xml')
  const groundState = input === undefined ? undefined : childNamed(input, 'groundstate')
  const asksForNone =
    input !== undefined && (groundState === undefined || groundState.attributes['do'] === 'skip')
  return asksForNone && exitCode === 0
}

function parseFile(files: readonly CalculationFile[], name: string): XmlElement | undefined {
  const file = files.find((each) => each.name === name)
  const text = file === undefined ? undefined : decodeXml(file.content)
  if (text === undefined) return undefined
  try {
    return parseXml(text)
  } catch (error) {
    if (error instanceof Problem) return undefined
    throw error
  }
}
