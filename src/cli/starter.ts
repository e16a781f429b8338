import { dirname } from 'node:path'
import { defaultScript } from './work-directory.ts'

/** A workflow that runs at once and shows an exploration, an aggregation and hooks. */
export const starterWorkflow = `import { csv, display, explore, functionTask, integer, list, number, replicate } from 'molehill'

// How far does a random walker get from where it started? About as far as the square root of its steps.
const steps = integer('steps')
const seed = integer('seed')
const distance = number('distance')
const meanDistance = number('meanDistance')

const walk = functionTask('walk', {
  inputs: [steps, seed],
  outputs: [distance],
  run: ({ steps, seed }) => {
    const random = randomNumbers(seed)
    let [x, y] = [0, 0]
    for (let step = 0; step < steps; step += 1) {
      const angle = 2 * Math.PI * random()
      x += Math.cos(angle)
      y += Math.sin(angle)
    }
    return { distance: Math.hypot(x, y) }
  },
}).hook(csv('walks.csv'))

const average = functionTask('average', {
  inputs: [steps, distance.array],
  outputs: [meanDistance],
  run: ({ distance }) => ({
    meanDistance: distance.reduce((sum, each) => sum + each, 0) / distance.length,
  }),
}).hook(
  csv('distances.csv', { values: [steps, meanDistance] }),
  display(({ steps, meanDistance }: { steps: number; meanDistance: number }) => {
    return \`\${steps} steps lead \${meanDistance.toFixed(1)} away\`
  }),
)

const replications = explore(replicate(seed, 50, { seed: 42 }), walk).aggregate(average)

export default explore(list(steps, [10, 100, 1000]), replications)

/** Numbers from 0 to 1 that depend on nothing but the seed, so that every run gives the same (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
`

/** Absolute paths of type declarations. */
export interface TypesPlace {
  readonly language: string
  /** A directory of that name holds what Node brings; absent where it is not installed. */
  readonly node: string | undefined
}

/** What tells an editor the types. It belongs to this computer, as the installed Molehill does. */
export function makeTsconfig({ language, node }: TypesPlace): string {
  const configuration = {
    compilerOptions: {
      target: 'ES2024',
      lib: ['ES2024', 'ESNext.Disposable'],
      module: 'ESNext',
      moduleResolution: 'bundler',
      moduleDetection: 'force',
      ...(node === undefined ? { types: [] } : { types: ['node'], typeRoots: [dirname(node)] }),
      strict: true,
      verbatimModuleSyntax: true,
      erasableSyntaxOnly: true,
      allowImportingTsExtensions: true,
      skipLibCheck: true,
      noEmit: true,
      paths: { molehill: [language] },
    },
    include: ['**/*.ts'],
  }
  return `${JSON.stringify(configuration, null, 2)}\n`
}

export function makeReadme(): string {
  return `# A Molehill workflow

\`${defaultScript}\` says what is computed. Everything in this directory travels with it: programs, data, modules.

Run it on this computer:

    molehill run

Or send it to a server and watch it there:

    molehill token --server https://localhost:8443
    molehill start . --follow

Results are written beside the script: \`walks.csv\` has a row a walk, \`distances.csv\` a row a number of steps.

\`tsconfig.json\` tells your editor where the types of Molehill lie on this computer. After moving the directory to
another one, write it anew: \`molehill init . --types\`.
`
}
