import { z } from 'zod'
import { Problem, toProblem, type ProblemCode } from '../../problem.ts'
import { addressKey } from '../access/request-limiter.ts'
import { rawRoute, type Call, type Route } from '../route.ts'
import { xml } from '../write-xml.ts'
import { escapeHtml, page } from './page.ts'
import type { VolunteerParts } from './parts.ts'
import { xmlReply } from './project-routes.ts'

/** BOINC's numbers of what went wrong. */
const numbers: Partial<Record<ProblemCode, number>> = {
  'user-unknown': -136,
  'user-conflict': -137,
  'parameter-invalid': -205,
  'password-wrong': -206,
  'not-allowed': -208,
}
const otherError = -1
const projectDown = -183

const text = z.string().max(500).optional()
const loginParameters = z.object({ email_addr: text, passwd_hash: text })
const accountParameters = loginParameters.extend({ user_name: text, invite_code: text })
const joinParameters = z.object({ invitation: text, name: text })

type AccountCall = Call<z.output<typeof accountParameters>>

/** How clients trade an address and a password for a key, and how people make an account. */
export function accountRoutes(parts: VolunteerParts): readonly Route[] {
  const route = (
    path: `/${string}`,
    summary: string,
    answer: (call: AccountCall) => Promise<string>,
  ): readonly Route[] =>
    (['GET', 'POST'] as const).map((method) =>
      rawRoute({
        method,
        path,
        access: 'open',
        summary,
        parameters: accountParameters,
        problems: [],
        answer: {
          status: 200,
          description: 'An XML document, also when it failed.',
          contentType: 'text/xml',
        },
        tellProblem: tellAccountProblem,
        async handle(call) {
          try {
            parts.accountTries.take(addressKey(call.address))
            return xmlReply(xml('account_out', xml('authenticator', await answer(call))))
          } catch (error) {
            const problem = toProblem(error)
            call.note({ code: problem.code })
            if (problem.code === 'internal')
              parts.warn(`An account could not be looked up: ${problem.message}`)
            return tellAccountProblem(problem)
          }
        },
      }),
    )
  return [
    ...route('/lookup_account.php', 'The key of an account.', async ({ parameters }) => {
      const { email_addr: email = '', passwd_hash: passwordHash } = parameters
      // Without a password it asks whether there is an account: that is nobody's business.
      if (passwordHash === undefined) throw new Problem('user-unknown', 'No account found')
      return parts.accounts.authenticatorOf(await parts.accounts.logIn(email, passwordHash))
    }),
    ...route('/create_account.php', 'Makes an account, and gives its key.', (call) =>
      createAccount(call, parts),
    ),
    ...joinRoutes(parts),
  ]
}

async function createAccount({ parameters, address }: AccountCall, parts: VolunteerParts): Promise<string> {
  const { accounts, joining } = parts
  const { email_addr: email = '', passwd_hash: passwordHash = '', user_name: name, invite_code } = parameters
  const known = await accounts.logIn(email, passwordHash).catch((error: unknown) => {
    if (error instanceof Problem && error.code === 'user-unknown') return undefined
    throw error
  })
  if (known !== undefined) return accounts.authenticatorOf(known)
  if (joining === 'closed' || (joining === 'invited' && invite_code === undefined)) throw creationDisabled()
  const [localPart = ''] = email.split('@', 1)
  const account = { name: name === undefined || name.trim() === '' ? localPart : name, email, passwordHash }
  return accounts.authenticatorOf(
    await accounts.create(account, joining === 'open' ? undefined : invite_code, address),
  )
}

/** For people: an invitation is a link, which leads to a key. */
function joinRoutes({ accounts, joining, settings, accountTries }: VolunteerParts): readonly Route[] {
  const base = {
    path: '/join',
    access: 'open',
    summary: 'Makes an account for who has an invitation.',
    parameters: joinParameters,
    problems: [],
    answer: { status: 200, description: 'A page.', contentType: 'text/html' },
    tellProblem: (problem: Problem) => page('Join', `<p>${escapeHtml(problem.message)}</p>`),
  } as const
  return [
    rawRoute({
      ...base,
      method: 'GET',
      handle: ({ parameters: { invitation = '' } }) =>
        page(
          `Join ${settings.projectName}`,
          `<form method="post">
<p><label>Invitation <input name="invitation" value="${escapeHtml(invitation)}" required></label></p>
<p><label>Your name, as others see it <input name="name" maxlength="100" required></label></p>
<p><button>Make an account</button></p>
</form>`,
        ),
    }),
    rawRoute({
      ...base,
      method: 'POST',
      handle({ parameters: { invitation = '', name = '' }, address }) {
        accountTries.take(addressKey(address))
        if (joining === 'closed') throw creationDisabled()
        const key = accounts.authenticatorOf(accounts.join(name, invitation, address))
        const { masterUrl } = settings
        return page(
          `Welcome, ${name}`,
          `<p>This is your key. Keep it: whoever has it can let computers take part in your name.</p>
<pre>${key}</pre>
<p>On each of your computers, with BOINC installed:</p>
<pre>boinccmd --project_attach ${escapeHtml(masterUrl)} ${key}</pre>`,
        )
      },
    }),
  ]
}

function creationDisabled(): Problem {
  return new Problem('not-allowed', 'Account creation is disabled')
}

function tellAccountProblem(problem: Problem): Response {
  const isLater = problem.code === 'requests-throttled' || problem.code === 'server-busy'
  const number = isLater ? projectDown : (numbers[problem.code] ?? otherError)
  const message = problem.code === 'internal' ? 'Something unexpected happened' : problem.message
  return xmlReply(xml('error', xml('error_num', number), xml('error_msg', message)))
}
