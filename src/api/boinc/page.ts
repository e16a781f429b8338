import { createHash } from 'node:crypto'

const style =
  'body{font-family:sans-serif;max-width:45em;margin:2em auto;padding:0 1em;line-height:1.5}td,th{text-align:left;padding-right:1em}'
const styleHash = createHash('sha256').update(style).digest('base64')

/**
 * A page for people. `head` goes into the page's head as it is, each line from the beginning of a line: clients look
 * for theirs there. `body` is HTML.
 */
export function page(title: string, body: string, head: readonly string[] = []): Response {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
${head.map((line) => `${line}\n`).join('')}<style>${style}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${body}
</body>
</html>
`
  return new Response(html, {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'`,
    },
  })
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
