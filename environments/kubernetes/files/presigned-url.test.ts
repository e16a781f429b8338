import { expect, test } from 'vitest'
import { presignedUrl } from './presigned-url.ts'

const now = Date.parse('2013-05-24T00:00:00Z')
const keys = {
  accessKey: 'AKIAIOSFODNN7EXAMPLE',
  secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
}
const url = 'https://examplebucket.s3.amazonaws.com/test.txt'

test("is the one of Amazon's own example", () => {
  expect(presignedUrl({ method: 'GET', url, expiresSeconds: 86_400, now }, keys)).toBe(
    `${url}?X-Amz-Algorithm=AWS4-HMAC-SHA256` +
      '&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
      '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
      '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
  )
})

test('is another one for whatever is changed', () => {
  const request = { method: 'GET', url, expiresSeconds: 60, now } as const
  const signatures = [
    presignedUrl(request, keys),
    presignedUrl({ ...request, method: 'PUT' }, keys),
    presignedUrl({ ...request, url: `${url}x` }, keys),
    presignedUrl({ ...request, url: url.replace('.com', '.com:8443') }, keys),
    presignedUrl({ ...request, expiresSeconds: 61 }, keys),
    presignedUrl({ ...request, now: now + 1000 }, keys),
    presignedUrl(request, { ...keys, region: 'eu-west-1' }),
    presignedUrl(request, { ...keys, secretKey: 'other' }),
  ].map((each) => /[0-9a-f]{64}$/.exec(each)?.[0])
  expect(new Set(signatures).size).toBe(signatures.length)
})
