import type { CheckFinding, Environment } from './environment.ts'

const blank = '[secret]'
/** Shorter ones are parts of ordinary words: to blank them would tell them. */
const shortest = 4

/** A text, or an error with its message, stack and causes, in which no secret can be read any more. */
export function blankSecrets<Told>(told: Told, secrets: readonly string[]): Told {
  const longOnes = secrets.filter((secret) => secret.length >= shortest)
  return longOnes.length === 0 ? told : (blankIn(told, longOnes, 4) as Told)
}

function blankIn(told: unknown, secrets: readonly string[], levels: number): unknown {
  if (typeof told === 'string') return secrets.reduce((text, secret) => text.replaceAll(secret, blank), told)
  if (!(told instanceof Error) || levels === 0) return told
  told.message = String(blankIn(told.message, secrets, levels))
  if (told.stack !== undefined) told.stack = String(blankIn(told.stack, secrets, levels))
  if (told.cause !== undefined) told.cause = blankIn(told.cause, secrets, levels - 1)
  return told
}

/**
 * The same environment, whose errors and findings tell none of these secrets: a library may put what it was given
 * into the message of an error, and that ends in logs and answers.
 */
export function concealSecrets(environment: Environment, secrets: readonly string[]): Environment {
  if (secrets.every((secret) => secret.length < shortest)) return environment
  return new Proxy(environment, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      return (...words: readonly unknown[]): unknown => {
        try {
          const answer: unknown = Reflect.apply(member, target, words)
          return answer instanceof Promise ? conceal(answer, secrets) : answer
        } catch (error) {
          throw blankSecrets(error, secrets)
        }
      }
    },
  })
}

async function conceal(answer: Promise<unknown>, secrets: readonly string[]): Promise<unknown> {
  try {
    const given = await answer
    return isFindings(given) ? given.map((finding) => blankFinding(finding, secrets)) : given
  } catch (error) {
    throw blankSecrets(error, secrets)
  }
}

function isFindings(given: unknown): given is readonly CheckFinding[] {
  return (
    Array.isArray(given) && given.every((each) => typeof each === 'object' && each !== null && 'what' in each)
  )
}

function blankFinding(finding: CheckFinding, secrets: readonly string[]): CheckFinding {
  return {
    ...finding,
    message: blankSecrets(finding.message, secrets),
    ...(finding.fix !== undefined && { fix: blankSecrets(finding.fix, secrets) }),
  }
}
