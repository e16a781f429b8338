import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'environments/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Many tests mostly wait for daemons: on two cores a third file at a time fills what two leave idle.
    maxWorkers: 3,
  },
})
