import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Reporter, TestCase, TestModule } from 'vitest/node'
import { conformanceTable, mergeResults, readConformanceTable, type CheckResult } from './table.ts'

const page = join(import.meta.dirname, '../../docs/operations/conformance.md')
const marker = '<!-- written by the reporter of the suite -->\n'

/**
 * Prints what came of the conformance suite: checks by environments, and which environments were not there. With
 * CONFORMANCE_PAGE=write the page of the documents is written anew; what had no part in the run stays as it was there.
 */
export default class ConformanceReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const results = modules.flatMap((module) => [...module.children.allTests()].flatMap(resultOf))
    if (results.length === 0) return
    const table = conformanceTable(results)
    process.stdout.write(`\nEnvironments and the conformance suite\n\n${table}\n`)
    if (process.env['CONFORMANCE_PAGE'] !== 'write') return
    const text = readFileSync(page, 'utf8')
    const end = text.indexOf(marker) + marker.length
    const all = mergeResults(readConformanceTable(text.slice(end)), results)
    writeFileSync(page, `${text.slice(0, end)}\n${conformanceTable(all)}`)
  }
}

/** Nothing for tests that are none of the suite. */
function resultOf(test: TestCase): readonly CheckResult[] {
  const suites = suitesOf(test)
  const environment = suites
    .map((name) => /^the environment (.+)$/.exec(name)?.[1])
    .find((name) => name !== undefined)
  if (environment === undefined) return []
  const base = { environment, check: test.name }
  const absence = suites.map((name) => /\(skipped: (.+)\)$/.exec(name)?.[1]).find((why) => why !== undefined)
  if (absence !== undefined) return [{ ...base, outcome: 'not there', reason: absence }]
  const { state } = test.result()
  if (state === 'passed' || state === 'failed') return [{ ...base, outcome: state }]
  return [{ ...base, outcome: 'not for it' }]
}

function suitesOf(test: TestCase): readonly string[] {
  const names: string[] = []
  for (let parent = test.parent; parent.type === 'suite'; parent = parent.parent) names.push(parent.name)
  return names
}
