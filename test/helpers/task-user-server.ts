/**
 * A server in a process of its own, to be killed: prints its address. Its tasks run as another user.
 * Arguments: a directory that holds the password's file, and the user.
 */
import { join } from 'node:path'
import { resolveConfiguration } from '../../src/config/configuration.ts'
import { startServer } from '../../src/main.ts'

// As services often have it: nothing that the server makes is open to others by itself.
process.umask(0o077)
const [, , directory = '', taskUser = ''] = process.argv
const { values } = await resolveConfiguration({
  flags: {
    dataDirectory: join(directory, 'data'),
    passwordFile: join(directory, 'password'),
    port: '0',
    isolation: 'required',
    taskUser,
    slots: '2',
    logLevel: 'silent',
  },
  env: {},
  readFile: () => Promise.reject(Object.assign(new Error('no file'), { code: 'ENOENT' })),
})
const { url } = await startServer(values)
console.log(url)
