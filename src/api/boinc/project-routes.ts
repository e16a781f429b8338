import { z } from 'zod'
import { xml, writeAsciiXml, type XmlNode } from '../write-xml.ts'
import { rawRoute, type Route } from '../route.ts'
import { escapeHtml, page } from './page.ts'
import type { VolunteerParts } from './parts.ts'

const shortestPassword = 6

/** What a client, and who opens the project's URL in a browser, sees first. */
export function projectRoutes(parts: VolunteerParts): readonly Route[] {
  const master = (path: '' | '/') =>
    rawRoute({
      method: 'GET',
      path,
      access: 'open',
      summary: "The project's page, which names the scheduler to clients.",
      parameters: z.object({}),
      problems: [],
      answer: { status: 200, description: 'The page.', contentType: 'text/html' },
      handle: () => masterPage(parts),
    })
  return [
    master(''),
    master('/'),
    rawRoute({
      method: 'GET',
      path: '/get_project_config.php',
      access: 'open',
      summary: 'What managers of clients ask before they attach.',
      parameters: z.object({}),
      problems: [],
      answer: { status: 200, description: 'An XML document.', contentType: 'text/xml' },
      handle: () => xmlReply(projectConfiguration(parts)),
    }),
  ]
}

export function xmlReply(root: XmlNode): Response {
  return new Response(`<?xml version="1.0" encoding="ISO-8859-1" ?>\n${writeAsciiXml(root)}\n`, {
    headers: { 'content-type': 'text/xml' },
  })
}

/**
 * Clients read no HTML: they look at lines of at most 255 bytes, for the link at the beginning of one, and for the
 * other form anywhere.
 */
function masterPage({ settings, joining }: VolunteerParts): Response {
  const { masterUrl, projectName, movedTo } = settings
  const moved =
    movedTo === undefined
      ? ''
      : `<p>This project has moved to <a href="${escapeHtml(movedTo)}">${escapeHtml(movedTo)}</a>.</p>\n`
  const scheduler = `${masterUrl}scheduler`
  const join = {
    open: '<p>Your BOINC asks for an e-mail address and a password, and makes an account with them.</p>',
    invited: '<p>You need a key, or an invitation, from who runs this server.</p>',
    closed: '<p>You need a key from who runs this server.</p>',
  }[joining]
  return page(
    projectName,
    `${moved}<p>This server takes computing time of volunteers. To give some, install
<a href="https://boinc.berkeley.edu/download.php">BOINC</a> and add a project with this address:</p>
<pre>${escapeHtml(masterUrl)}</pre>
${join}
<p>With a key and without a window: <code>boinccmd --project_attach ${escapeHtml(masterUrl)} KEY</code></p>
<p><a href="${escapeHtml(masterUrl)}statistics">Who takes part</a></p>`,
    [
      `<link rel="boinc_scheduler" href="${escapeHtml(scheduler)}">`,
      `<!-- <scheduler>${escapeHtml(scheduler)}</scheduler> -->`,
    ],
  )
}

function projectConfiguration({ settings, joining, platforms }: VolunteerParts): XmlNode {
  return xml(
    'project_config',
    xml('name', settings.projectName),
    xml('master_url', settings.masterUrl),
    xml('web_rpc_url_base', settings.masterUrl),
    xml('web_stopped', 0),
    xml('sched_stopped', 0),
    ...(joining === 'open' ? [] : [xml('account_creation_disabled')]),
    xml('min_passwd_length', shortestPassword),
    xml(
      'platforms',
      ...Object.entries(platforms).map(([name, title]) =>
        xml('platform', xml('platform_name', name), xml('user_friendly_name', title)),
      ),
    ),
  )
}
