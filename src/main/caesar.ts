import { join } from 'node:path'
import { caesarTasks, forgetStrangers } from '../api/caesar/clock-tasks.ts'
import { createDataSources } from '../api/caesar/data-sources.ts'
import { caesarDialect } from '../api/caesar/dialect.ts'
import { openJobs } from '../api/caesar/jobs.ts'
import { openStoredFiles } from '../api/caesar/stored-files.ts'
import { openStoredJobs } from '../api/caesar/stored-jobs.ts'
import { caesarTables } from '../api/caesar/tables.ts'
import type { Dialect } from '../api/route.ts'
import { readEntryEnvironments } from '../catalog/entry-environments.ts'
import { startClockWork } from '../schedule/clock-work.ts'
import { openDialectDatabase } from '../store/dialect-database.ts'
import type { DialectRooms } from './dialects.ts'

/** Opens the dialect of caesar-rest with what it keeps and what it does by the clock. */
export async function openCaesar(rooms: DialectRooms): Promise<Dialect | undefined> {
  const { configuration, executions, catalog, users, quotas, authentication, log, now, defer } = rooms
  const { dataDirectory, caesarPeriodMs: everyMs } = configuration
  if (!configuration.caesar) return undefined
  const database = openDialectDatabase(join(dataDirectory, 'dialects.db'), caesarTables)
  defer(() => database.close())
  const files = openStoredFiles(database, join(dataDirectory, 'uploads', 'users'))
  await files.sweep()
  const store = openStoredJobs(database)
  const jobs = openJobs(store, executions, now)
  const userSince = (name: string) => users.find(name)?.createdAt
  await forgetStrangers({ store, files, userSince })
  const tasks = caesarTasks({ store, files, jobs, executions, userSince }).map((task) => ({
    ...task,
    everyMs,
  }))
  const clockWork = await startClockWork(tasks, (message) => log.warn(message))
  defer(() => clockWork.close())
  const words = (text: string) => text.split(/[\s,]+/).filter((word) => word !== '')
  return caesarDialect({
    executions,
    catalog,
    files,
    store,
    jobs,
    quotas,
    sources: createDataSources(files, {
      datasets: configuration.caesarDatasets,
      roots: (configuration.caesarDataRoots ?? '').split(':').filter((root) => root.startsWith('/')),
    }),
    settings: {
      mount: configuration.caesarPath,
      describe: configuration.caesarDescribe,
      fileTypes: words(configuration.caesarFileTypes.toLowerCase()),
      fileBytes: configuration.caesarFileBytes,
      takesQueryToken: configuration.caesarQueryToken,
      isStrict: configuration.caesarStrict,
      environments: readEntryEnvironments(configuration.catalogEnvironments ?? ''),
    },
    authentication,
    now,
  })
}
