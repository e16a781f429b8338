import { createHash } from 'node:crypto'
import { problems } from '../../problem.ts'

const style = 'body{font-family:sans-serif;max-width:45em;margin:2em auto;padding:0 1em;line-height:1.5}'

/** A page for whoever opens the server's address in a browser: says what this is and lists the kinds of problems. */
export function renderPage(version: string): { html: string; contentSecurityPolicy: string } {
  const rows = Object.entries(problems).map(
    ([code, { status, title }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${escapeHtml(title)}</td></tr>`,
  )
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Molehill</title>
<style>${style}</style>
<h1>Molehill</h1>
<p>A workflow engine behind a REST API in the manner of OpenMOLE, version ${escapeHtml(version)}.
Programs talk to it by POST; <a href="/openapi.json">openapi.json</a> says how.</p>
<pre>curl -k --data-urlencode password=... https://localhost:8443/token</pre>
<h2>Problems</h2>
<p>An answer that tells a problem is JSON and has one of these codes.</p>
<table><tr><th>code</th><th>status</th><th>meaning</th></tr>
${rows.join('\n')}
</table>
</html>
`
  const hash = createHash('sha256').update(style).digest('base64')
  return {
    html,
    contentSecurityPolicy: `default-src 'none'; style-src 'sha256-${hash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
  }
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
