import { expect, test } from 'vitest'
import { readFailure } from './failure.ts'

test.each([
  ['ssh: Could not resolve hostname nowhere: Name or service not known', 'name'],
  ['ssh: connect to host 10.0.0.1 port 22: No route to host', 'unreachable'],
  ['ssh: connect to host 10.0.0.1 port 22: Connection timed out', 'unreachable'],
  ['Timeout, server 10.0.0.1 not responding.', 'unreachable'],
  ['ssh: connect to host 10.0.0.1 port 22: Connection refused', 'refused'],
  ['kex_exchange_identification: Connection closed by remote host', 'busy'],
  [
    'channel 0: open failed: connect failed: No route to host\nstdio forwarding failed\n' +
      'kex_exchange_identification: Connection closed by remote host',
    'way',
  ],
  ['ssh ended with exit code 1', 'login'],
  ['a@b: Permission denied (publickey,password).', 'denied'],
  [
    'No ED25519 host key is known for b and you have requested strict checking.\nHost key verification failed.',
    'unknown-host',
  ],
  ['@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.', 'changed-key'],
  ['Load key "/x": error in libcrypto\na@b: Permission denied (publickey).', 'key-file'],
  ['sh: 1: exec: bash: not found', 'no-bash'],
  ['something new', 'other'],
  ['', 'other'],
])('%j is of the kind %s', (words, kind) => {
  const failure = readFailure('alice@b', `Welcome to the cluster\n${words}`)
  expect(failure.kind).toBe(kind)
  expect(failure.message).toContain('alice@b')
  expect(failure.fix).toMatch(/^[A-Z].*\.$/)
})

test('repeats the telling words of ssh, not the greeting', () => {
  const { message } = readFailure(
    'b',
    'Welcome!\nAll is logged.\nssh: connect to host b port 22: Connection refused\n',
  )
  expect(message).toContain('Connection refused')
  expect(message).not.toContain('Welcome')
})
