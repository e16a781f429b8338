import { createHash, createHmac } from 'node:crypto'

/** Who signs. `region` is part of the signature, also where a store knows none. */
export interface StorageKeys {
  readonly accessKey: string
  readonly secretKey: string
  readonly region: string
}

export interface PresignedRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'
  /** Without a query; letters, digits and `-._~/` in its path. */
  readonly url: string
  /** At most a week. */
  readonly expiresSeconds: number
  /** Milliseconds since 1970. */
  readonly now: number
}

/** The longest that stores of this kind allow. */
export const longestSeconds = 604_800

/**
 * An address that lets whoever has it do one thing with one object of an S3 store for a while: signature version 4 in the
 * query (docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html), without the body.
 */
export function presignedUrl(
  { method, url, expiresSeconds, now }: PresignedRequest,
  keys: StorageKeys,
): string {
  const { host, pathname } = new URL(url)
  const time = new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const scope = `${time.slice(0, 8)}/${keys.region}/s3/aws4_request`
  const query = Object.entries({
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${keys.accessKey}/${scope}`,
    'X-Amz-Date': time,
    'X-Amz-Expires': String(expiresSeconds),
    'X-Amz-SignedHeaders': 'host',
  })
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&')
  const request = [method, pathname, query, `host:${host}\n`, 'host', 'UNSIGNED-PAYLOAD'].join('\n')
  const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(request).digest('hex')].join(
    '\n',
  )
  const key = scope
    .split('/')
    .reduce<string | Buffer>((secret, word) => hmac(secret, word), `AWS4${keys.secretKey}`)
  return `${url}?${query}&X-Amz-Signature=${hmac(key, text).toString('hex')}`
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
