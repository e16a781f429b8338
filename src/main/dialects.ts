import type { Authentication } from '../api/access/authentication.ts'
import type { Login } from '../api/access/login.ts'
import { openmoleDialect } from '../api/openmole/dialect.ts'
import type { Dialect } from '../api/route.ts'
import type { Catalog } from '../catalog/contract.ts'
import type { Configuration } from '../config/options.ts'
import type { Executions } from '../engine/contract.ts'
import type { DiskReserve } from '../files/disk-reserve.ts'
import type { Log } from '../telemetry/log.ts'
import type { KeptOfUsers, Users } from '../users/contract.ts'
import type { Quotas } from '../users/quotas.ts'
import { openBoinc, type VolunteerRooms } from './boinc.ts'
import { openBoincSubmission } from './boinc-submission.ts'
import { openCaesar } from './caesar.ts'
import { openExciting } from './exciting.ts'

/** What dialects are made of. */
export interface DialectRooms {
  readonly configuration: Configuration
  readonly executions: Executions
  readonly catalog: Catalog
  readonly users: Users
  readonly quotas: Quotas
  /** What dialects keep of users: each that is opened adds its own. */
  readonly kept: KeptOfUsers[]
  readonly authentication: Authentication
  readonly login: Login
  readonly log: Log
  readonly disk: DiskReserve
  readonly volunteers: VolunteerRooms | undefined
  readonly now: () => number
  /** Closes with the server what a dialect has opened. */
  readonly defer: (close: () => Promise<void> | void) => void
}

/** Opens a dialect; undefined where it is switched off. */
type OpenDialect = (rooms: DialectRooms) => Promise<Dialect | undefined> | Dialect | undefined

const openmole = ({ configuration, ...rooms }: DialectRooms): Dialect =>
  openmoleDialect({ ...rooms, gzipByDefault: configuration.gzipDownloads })

/** Every protocol besides the main API, a line each. */
const others: readonly OpenDialect[] = [openCaesar, openBoincSubmission, openBoinc, openExciting]

/** Opens the dialects that are switched on. The main API is the first. */
export async function openDialects(rooms: DialectRooms): Promise<readonly [Dialect, ...Dialect[]]> {
  const opened: Dialect[] = []
  for (const open of others) {
    const dialect = await open(rooms)
    if (dialect === undefined) continue
    opened.push(dialect)
    if (dialect.kept !== undefined) rooms.kept.push(dialect.kept)
  }
  return [openmole(rooms), ...opened]
}
