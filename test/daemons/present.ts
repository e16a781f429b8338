import { describe } from 'vitest'
import { whyAbsent, type DaemonKind, type OwnDaemon } from './absence.ts'

export { whyAbsent, type DaemonKind, type OwnDaemon } from './absence.ts'

/**
 * As `describe`, for tests that need real daemons: where they are absent the tests are skipped and the name says why. A
 * test that fails is tried once more, since a daemon on a busy machine may take longer than any limit; the run ends
 * with a list of those.
 */
export function describeWith(
  kinds: DaemonKind | OwnDaemon | readonly DaemonKind[],
  name: string,
  body: () => void,
): void {
  const why = [kinds]
    .flat()
    .map((kind) => whyAbsent(kind))
    .find((each) => each !== undefined)
  const register = why === undefined ? describe : describe.skip
  register(why === undefined ? name : `${name} (skipped: ${why})`, { retry: 1 }, body)
}
