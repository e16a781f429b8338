import { EnvironmentError } from '../../../src/environment/environment.ts'
import { ApiError } from './api-errors.ts'

/** The answer; what goes wrong on the way to the cluster, or is refused there, is an error of the environment. */
export async function askCluster<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof ApiError) throw new EnvironmentError(sentenceOf(error), { cause: error })
    throw error
  }
}

/** Kubernetes says no more than `Unauthorized`. */
function sentenceOf({ status, message }: ApiError): string {
  return status === 401 ? `The cluster refuses the credentials: ${message}` : message
}
