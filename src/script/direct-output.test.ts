import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'

test('a thread whose output is asked for by its process only later goes on', async () => {
  const url = JSON.stringify(new URL('./direct-output.ts', import.meta.url).href)
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     import(${url}).then(({ writeDirectly }) => {
       writeDirectly({ stdout: 1, stderr: 2 })
       process.stdin.on('data', () => process.exit(0))
       parentPort.postMessage('written directly')
     })`,
    { eval: true, stdin: true, stdout: true, stderr: true },
  )
  await once(worker, 'message')
  // Node tells the thread that its output is wanted, and looks for what it knows of its own stream.
  worker.stdout.read(0)
  worker.stderr.read(0)
  worker.stdin?.write('go')
  const [code] = (await once(worker, 'exit')) as [number]
  expect(code).toBe(0)
})
