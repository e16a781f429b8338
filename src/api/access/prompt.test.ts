import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { terminalPrompt } from './prompt.ts'

const program = `
  import { terminalPrompt } from ${JSON.stringify(new URL('prompt.ts', import.meta.url).href)}
  try {
    console.log('typed ' + (await terminalPrompt()('Password: ')).length + ' letters')
  } catch (error) {
    console.log('refused: ' + error.message)
  }`

/** Runs the prompt on a terminal of its own, types `keys` when asked, and gives all that the terminal showed. */
async function type(keys: string): Promise<string> {
  const command = `'${process.execPath}' --input-type=module --eval "$PROGRAM"`
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: { ...process.env, PROGRAM: program },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let shown = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const wasAsked = shown.includes('Password: ')
    shown += text
    if (!wasAsked && shown.includes('Password: ')) child.stdin.write(keys)
  })
  await once(child, 'close')
  return shown
}

test('what is typed is taken but not shown', async () => {
  const shown = await type('sesame\r')
  expect(shown).toContain('typed 6 letters')
  expect(shown).not.toContain('sesame')
})

test('letters can be taken back', async () => {
  expect(await type('sesamx\u007Fe\r')).toContain('typed 6 letters')
})

test.each([
  ['Ctrl-C', '\u0003'],
  ['Ctrl-D', '\u0004'],
])('%s ends it with a clear error', async (_, keys) => {
  expect(await type(keys)).toContain('refused: No password was typed.')
})

test('without a terminal there is no prompt', () => {
  expect(terminalPrompt(Object.assign(process.stdin, { isTTY: false }))).toBeUndefined()
})
