import { tarGzip } from './tar.ts'

/**
 * An app for batches: writes its input file in capitals. `--sleep S` makes it slow, `--fail` ends it with exit code 3,
 * and `--t` is written ahead of the text.
 */
const script = `
import { boolean, commandTask, copyFile, file, input, keepFile, output, number, shell, string } from 'molehill'
const source = file('in')
const t = string('t', { default: '' })
const sleep = number('sleep', { default: 0 })
const fail = boolean('fail', { default: false })
const result = file('out')
const uppercase = commandTask('uppercase', {
  command: shell\`
    sleep \${sleep}
    if [ \${fail} = true ]; then echo 'told to <fail>' >&2; exit 3; fi
    printf '%s' \${t} > out
    tr a-z A-Z < \${source} >> out\`,
  outputs: [keepFile(result, 'out')],
})
export default uppercase.hook(copyFile(result, 'out')).describe({
  title: 'Uppercase',
  description: 'Writes a text in capitals.',
  category: 'tests',
  inputs: [
    input(source, { title: 'Text' }),
    input(t, { title: 'What comes ahead' }),
    input(sleep, { minimum: 0, maximum: 600 }),
    input(fail),
  ],
  outputs: [output('out', { role: 'text' })],
})
`

/** The app as a work directory. */
export const uppercaseApp = tarGzip([{ name: 'workflow.ts', content: script }])

/** Installs a workflow by the main API, as the operator. */
export async function installWorkflow(
  url: string,
  password: string,
  name: string,
  archive: Buffer,
): Promise<void> {
  const login = await fetch(`${url}/token`, { method: 'POST', body: new URLSearchParams({ password }) })
  const { token } = (await login.json()) as { token: string }
  const form = new FormData()
  form.set('token', token)
  form.set('name', name)
  form.set('workDirectory', new Blob([new Uint8Array(archive)]), 'work.tar.gz')
  const answer = await fetch(`${url}/catalog/add`, { method: 'POST', body: form })
  if (!answer.ok) throw new Error(`The workflow ${name} was not installed: ${await answer.text()}`)
}
