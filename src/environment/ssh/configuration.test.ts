import { expect, test } from 'vitest'
import { z } from 'zod'
import { channelArguments, configurationText, masterArguments } from './configuration.ts'
import { pickSshOptions } from './options.ts'

const files = { configuration: '/tmp/x/config', socket: '/tmp/x/s' }

test('options that could be anything but names and paths are refused', () => {
  const bad = [
    ...['-oProxyCommand=x', 'a b', 'a;b', 'user@host', '', 'a/b', '$(id)', 'a\nb'].map((host) => ({ host })),
    ...['-l', 'a b', '$x', ''].map((user) => ({ host: 'h', user })),
    ...['-J', 'a b', 'a,,b', 'a,-b', 'user@-b'].map((jump) => ({ host: 'h', jump })),
    ...['x', '/a"b', '/a\nb', '-F'].map((identityFile) => ({ host: 'h', identityFile })),
    { host: 'h', password: 'two\nlines' },
    { host: 'h', port: 0 },
  ]
  for (const options of bad)
    expect(() => pickSshOptions(options), JSON.stringify(options)).toThrow(z.core.$ZodError)
  for (const host of ['node1', 'login.example.org', '10.0.0.1', '::1', 'fe80::1', 'my_alias'])
    expect(pickSshOptions({ host }).host).toBe(host)
})

test('our settings come before those of the user, and hold for hosts on the way', () => {
  const text = configurationText(
    pickSshOptions({ host: 'h', identityFile: '/keys/50% x', acceptNew: true, connectTimeoutMs: 2500 }),
  )
  expect(text).toContain('StrictHostKeyChecking accept-new\n')
  expect(text).toContain('BatchMode yes\n')
  expect(text).toContain('IdentityFile "/keys/50%% x"\n')
  expect(text).toContain('ConnectTimeout 3\n')
  expect(text).toContain('\nInclude ~/.ssh/config\nInclude /etc/ssh/ssh_config\n')
  expect(text.indexOf('Ciphers')).toBeGreaterThan(text.lastIndexOf('Include'))
})

test('secrets are neither in the configuration nor in the arguments', () => {
  const options = pickSshOptions({ host: 'h', password: 'open sesame', passphrase: 'hidden words' })
  const all = [
    configurationText(options),
    ...masterArguments(options, files),
    ...channelArguments(options, files),
  ]
  expect(all.join('\n')).not.toMatch(/sesame|hidden/)
  expect(configurationText(options)).toContain('BatchMode no\n')
})

test('names stand behind --, and a channel never makes a connection', () => {
  const options = pickSshOptions({ host: 'h', user: 'u', port: 2222, jump: 'a@gate:22,second' })
  const shell = 'exec bash --noprofile --norc -s'
  expect(masterArguments(options, files).slice(-10)).toEqual([
    'RemoteCommand=none',
    '-l',
    'u',
    '-p',
    '2222',
    '-J',
    'a@gate:22,second',
    '--',
    'h',
    shell,
  ])
  const channel = channelArguments(options, files)
  expect(channel).toContain('ProxyCommand=exit 255')
  expect(channel).not.toContain('-J')
})
