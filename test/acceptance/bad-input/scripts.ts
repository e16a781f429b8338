import type { Refused } from './row.ts'

/** A script that is posted to /validate; all answers are 417. */
export interface ScriptRow extends Refused {
  /** What `script` names. */
  readonly script: string
  /** What `Pi.ts` holds. */
  readonly content: string | Buffer
}

const good = 'export default 1'

function named(
  name: string,
  script: string,
  sentence = /doesn't exist in the workDirectory.*Name the script/,
): ScriptRow {
  return { name, script, content: good, status: 417, sentence }
}

function content(name: string, text: string | Buffer, sentence: RegExp): ScriptRow {
  return { name, script: 'Pi.ts', content: text, status: 417, sentence }
}

/** A workflow in the body of which `body` stands. */
const flow = (body: string) =>
  `import { explore, functionTask, integer, list } from 'molehill'\nconst x = integer('x')\nconst y = integer('y')\n${body}`

/** The directory also holds `data/` with one file, and the links `out` and `here`, which stay inside. */
export const scriptRows: readonly ScriptRow[] = [
  named('that does not exist', 'Other.ts'),
  named('that is a directory', 'data'),
  named('that leaves', '../Pi.ts'),
  named('that leaves further in', 'data/../../Pi.ts'),
  named('that is absolute', '/etc/passwd'),
  named('without a name', ''),
  named('that is a dot', '.'),
  named('with NUL in its name', 'Pi.ts\0'),
  named('with a line break in its name', 'Pi.ts\n'),
  named('with escapes in its name', '\u001b[31mPi.ts\u001b[0m'),
  named('with a name of 4,000 letters', 'x'.repeat(4000)),
  named('with backslashes in its name', 'data\\..\\Pi.ts'),
  named('with a drive in its name', 'C:Pi.ts'),
  named('that is a URL', 'file:///etc/passwd'),
  named('that is an option', '--eval=process.exit()'),
  named('that is named __proto__', '__proto__'),
  named('of another kind', 'data/numbers.txt', /expected a file ending in \.ts/),
  content('of nothing', '', /expected a workflow/),
  content('that cannot be parsed', 'const x = ;', /^Pi\.ts:1:\d+: SyntaxError/),
  content('of bytes', Buffer.from([0xff, 0xfe, 0x00, 0x80]), /^Pi\.ts/),
  content('that throws', '\nthrow new Error("boom")', /^Pi\.ts:2:\d+: Error: boom/),
  content('that throws nothing', 'throw undefined', /undefined/),
  content('that throws a text', 'throw "boom"', /boom/),
  content(
    'that throws what cannot be told',
    'throw { toString() { throw new Error("worse") } }',
    /^Pi\.ts|script/,
  ),
  content(
    'that throws a proxy',
    'throw new Proxy({}, { get() { throw new Error("worse") } })',
    /^Pi\.ts|script/,
  ),
  content('that throws a message of a megabyte', 'throw new Error("x".repeat(1e6))', /xxx/),
  content('that throws escapes', 'throw new Error("\\u001b[2Jboom")', /boom/),
  content('that exports nothing', 'export const a = 1', /expected a workflow/),
  content('that exports a number', 'export default 5', /expected a workflow/),
  content('that exports null', 'export default null', /expected a workflow/),
  content('that exports a proxy', 'export default new Proxy({}, { get() { throw new Error("boom") } })', /./),
  content('that exports itself', 'const a = {}; a.a = a; export default a', /expected a workflow/),
  content('that exits', 'process.exit(0)', /ended|exit/),
  content('that aborts', 'process.abort()', /ended|abort|script/i),
  content('that rejects', 'await Promise.reject(new Error("boom"))', /boom/),
  content(
    'that rejects later',
    'setTimeout(() => { throw new Error("late") }, 10); await new Promise((r) => setTimeout(r, 500))',
    /late/,
  ),
  content('that never returns', 'while (true);', /within 4000 ms/),
  content('that never settles', 'setInterval(() => {}, 1000); await new Promise(() => {})', /within 4000 ms/),
  content('that blocks', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)', /within 4000 ms/),
  content('that floods the console', 'for (;;) console.log("x".repeat(65536))', /output|wrote|within/),
  content('that eats memory', 'const a = []; for (;;) a.push(new Array(1e6).fill(1.5))', /memory|within/),
  content(
    'with a regular expression that explodes',
    '/^(a+)+$/.test("a".repeat(40) + "b")',
    /within 4000 ms/,
  ),
  content('that calls itself', 'const f = () => f(); f()', /RangeError|call stack/),
  content('that imports what is not there', 'import "nowhere"', /nowhere/),
  content('that imports a file that is not there', 'import "./nowhere.ts"', /nowhere/),
  content('that imports from outside', 'import "../../../../../etc/passwd"', /^Pi\.ts|passwd|script/),
  content('that imports from the network', 'import "https://example.org/x.ts"', /^Pi\.ts|https/),
  content(
    'that reads what is not its own',
    'import { readFileSync } from "node:fs"\nreadFileSync("OUTSIDE/secret.txt")',
    /^Pi\.ts:2:/,
  ),
  content(
    'that changes all objects',
    'Object.prototype.polluted = true\nArray.prototype.map = () => []\nexport default 5',
    /./,
  ),
  content('that changes JSON', 'JSON.stringify = () => "{}"\nexport default 5', /./),
  content(
    'with an input that nobody gives',
    flow(`export default functionTask('model', { inputs: [x, y], outputs: [], run: () => ({}) })`),
    /model.*(x|y)|(x|y).*model/s,
  ),
  content(
    'with a task without a name',
    flow(`export default functionTask('', { outputs: [], run: () => ({}) })`),
    /name/,
  ),
  content(
    'with a task whose name is a number',
    flow(`export default functionTask(5, { outputs: [], run: () => ({}) })`),
    /name|text|string/,
  ),
]
