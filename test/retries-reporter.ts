import type { Reporter, TestModule } from 'vitest/node'

/** Tells at the end which tests passed only when they were tried again, and what was wrong the first time. */
export default class RetriesReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const retried = modules.flatMap((module) =>
      [...module.children.allTests()].filter((test) => test.diagnostic()?.flaky === true),
    )
    if (retried.length === 0) return
    const lines = retried.map((test) => {
      const reason = test.result().errors?.[0]?.message ?? 'no reason is known'
      return `- ${test.module.relativeModuleId}: ${test.fullName}\n  ${reason.split('\n', 1)[0]}\n`
    })
    process.stdout.write(`\nPassed only when they were tried again\n\n${lines.join('')}\n`)
  }
}
