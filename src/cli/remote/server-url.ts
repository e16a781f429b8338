import { Problem } from '../../problem.ts'

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/**
 * Reads the address of a server: `https://host:8443`, `host:8443`, `host`. A path is kept, for servers behind a proxy.
 * Throws Problem('parameter-invalid') for what is no such address, and for plain HTTP to another computer, where
 * everybody on the way could read the password, unless `insecure` allows it.
 */
export function parseServerUrl(text: string, { insecure }: { insecure: boolean }): URL {
  const refuse = (what: string, hint: string) => new Problem('parameter-invalid', what, { hint })
  const full = /^[a-z]+:\/\//i.test(text) ? text : `https://${text}`
  const url = URL.parse(full)
  const example = 'Write it as https://localhost:8443.'
  if (url === null || url.hostname === '' || !['http:', 'https:'].includes(url.protocol))
    throw refuse(`Expected the address of a server, got ${JSON.stringify(text)}.`, example)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw refuse('The address of a server holds no user, password, ? or #.', example)
  if (url.protocol === 'http:' && !insecure && !loopback.test(url.hostname))
    throw refuse(
      `Over http:// everybody on the way to ${url.hostname} could read the password.`,
      'Use https://, or --insecure where the network is your own.',
    )
  // Only a bare name takes the default port of Molehill: a scheme without a port means that of the scheme.
  if (url.port === '' && full !== text) url.port = '8443'
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

/** How a server is named in messages and among the saved logins: without the last slash. */
export function nameServer(url: URL): string {
  return url.href.replace(/\/$/, '')
}
