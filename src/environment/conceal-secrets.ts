import type { Environment } from './environment.ts'

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
 * The same environment, whose errors, findings and news of jobs tell none of these secrets: a library may put what it
 * was given into the message of an error, and that ends in logs and answers.
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
    if (Array.isArray(given))
      return given.map((each: unknown) => (isFinding(each) ? blankTexts(each, secrets) : each))
    if (!(given instanceof Map)) return given
    // News of jobs: outcomes and observations. Handles are objects in them, and stay as they are.
    return new Map([...given].map(([id, news]: [unknown, unknown]) => [id, blankTexts(news, secrets)]))
  } catch (error) {
    throw blankSecrets(error, secrets)
  }
}

function isFinding(given: unknown): boolean {
  return typeof given === 'object' && given !== null && 'what' in given
}

/** The same object with its own texts blanked. */
function blankTexts(given: unknown, secrets: readonly string[]): unknown {
  if (typeof given !== 'object' || given === null) return given
  return Object.fromEntries(
    Object.entries(given).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === 'string' ? blankSecrets(value, secrets) : value,
    ]),
  )
}
