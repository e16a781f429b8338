import { expect, test } from 'vitest'
import { readMasterUrl } from './volunteer-project.ts'

const options = {
  volunteerUrl: undefined,
  http: true,
  host: '127.0.0.1',
  port: 8443,
  boincPath: '/boinc',
} as const

test('volunteers attach to where the server listens, or to what it is told', () => {
  expect(readMasterUrl(options)).toBe('http://127.0.0.1:8443/boinc/')
  expect(readMasterUrl({ ...options, http: false, host: '::1' })).toBe('https://[::1]:8443/boinc/')
  expect(readMasterUrl({ ...options, host: '0.0.0.0' })).toMatch(/^http:\/\/[^/]+:8443\/boinc\/$/)
  for (const volunteerUrl of ['https://hub.example/volunteers', 'https://hub.example/volunteers//'])
    expect(readMasterUrl({ ...options, volunteerUrl })).toBe('https://hub.example/volunteers/')
})

test('a URL that volunteers cannot use is refused', () => {
  for (const volunteerUrl of [
    'hub.example',
    'ftp://hub.example/',
    'https://hub.example/?a=1',
    'https://a@hub.example/',
  ])
    expect(() => readMasterUrl({ ...options, volunteerUrl }), volunteerUrl).toThrow('Expected a URL such as')
  expect(() => readMasterUrl({ ...options, port: 0 })).toThrow('port 0')
})
