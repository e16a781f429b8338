import type { DatabaseSync } from 'node:sqlite'
import type { Application, Workunit } from '../environment/volunteers.ts'
import { Problem } from '../problem.ts'

/** A workunit as it is kept: programs that many share are kept once. */
export type Definition = Omit<Workunit, 'application'>

const safeName = /^[A-Za-z0-9._-]{1,200}$/

/** Work and programs as environments file them, and the files that hosts may fetch for them. */
export function openFiling(database: DatabaseSync) {
  const addApplication = database.prepare(
    'INSERT INTO applications (name, version, definition) VALUES (?, ?, ?)',
  )
  const findApplication = database.prepare('SELECT id FROM applications WHERE name = ? AND version = ?')
  const application = database.prepare('SELECT definition FROM applications WHERE id = ?')
  const addFile = database.prepare('INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)')
  const unusedApplications = database.prepare(
    'DELETE FROM applications WHERE id NOT IN (SELECT application FROM workunits) RETURNING id',
  )
  const unusedPrograms = database.prepare(
    `DELETE FROM files WHERE workunit = 0 AND name NOT IN (
       SELECT file.value ->> '$.name' FROM applications, json_each(definition, '$.platforms') AS platform,
         json_each(platform.value) AS file)`,
  )
  const findFile = database.prepare('SELECT path, bytes FROM files WHERE name = ? LIMIT 1')
  const findWorkunit = database.prepare('SELECT id FROM workunits WHERE name = ?')
  const addWorkunit = database.prepare(
    `INSERT INTO workunits
       (name, application, definition, replication, to_send, quorum, cpus, estimated_ms, memory_bytes, disk_bytes)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  /** Never change, so that a cache of them is always right. */
  const applications = new Map<number, Application>()
  const filedApplications = new Map<string, number>()

  function fileApplication(filed: Application): number {
    const key = `${filed.name} ${filed.version}`
    let id = filedApplications.get(key)
    if (id !== undefined) return id
    // Files may lie elsewhere after a restart of the server; what clients have fetched does not change.
    for (const files of Object.values(filed.platforms))
      for (const { name, path, bytes } of files) addFile.run(name, 0, path, bytes)
    const found = findApplication.get(filed.name, filed.version)?.['id']
    id = Number(found ?? addApplication.run(filed.name, filed.version, JSON.stringify(filed)).lastInsertRowid)
    filedApplications.set(key, id)
    return id
  }

  return {
    /** Throws Problem parameter-invalid for a workunit that no host could run. */
    file(workunit: Workunit): void {
      check(workunit)
      if (findWorkunit.get(workunit.name) !== undefined) return
      const { application: filed, ...definition } = workunit
      const { replication } = workunit
      const { lastInsertRowid } = addWorkunit.run(
        workunit.name,
        fileApplication(filed),
        JSON.stringify(definition satisfies Definition),
        JSON.stringify(replication),
        Math.min(replication.copiesAtMost, Math.max(replication.target, replication.quorum)),
        replication.quorum,
        workunit.cpus,
        Math.round(workunit.estimatedMs),
        Math.round(workunit.memoryBytes),
        Math.round(workunit.diskBytes),
      )
      for (const { name, path, bytes } of workunit.inputs) addFile.run(name, lastInsertRowid, path, bytes)
    },

    application(id: number): Application {
      let known = applications.get(id)
      if (known === undefined) {
        known = JSON.parse(String(application.get(id)?.['definition'])) as Application
        applications.set(id, known)
      }
      return known
    },

    /** Forgets applications, and files of programs, that no workunit needs. They are filed again with the next that does. */
    tidy(): void {
      if (unusedApplications.all().length === 0) return
      unusedPrograms.run()
      applications.clear()
      filedApplications.clear()
    },

    /** Forgets what was read in a transaction that was given up. */
    clear(): void {
      applications.clear()
      filedApplications.clear()
    },

    /** Where a file lies that hosts may fetch. */
    findFile(name: string): { path: string; bytes: number } | undefined {
      return findFile.get(name) as { path: string; bytes: number } | undefined
    },
  }
}

export type Filing = ReturnType<typeof openFiling>

function check({ name, application, inputs, replication }: Workunit): void {
  const programs = Object.values(application.platforms).flat()
  const bad = [
    name,
    application.name,
    ...inputs.map((input) => input.name),
    ...programs.map((file) => file.name),
  ].filter((each) => !safeName.test(each) || each.includes('..'))
  if (bad.length > 0)
    throw new Problem(
      'parameter-invalid',
      `Names that volunteers' clients see have letters, digits, '.', '_' and '-', at most 200; got ${JSON.stringify(bad[0])}.`,
    )
  const { quorum, copiesAtMost } = replication
  if (quorum < 1 || quorum > copiesAtMost)
    throw new Problem(
      'parameter-invalid',
      `${quorum} copies of ${name} must agree, but there are to be at most ${copiesAtMost}.`,
      { hint: 'Allow as many copies as must agree, and some more for hosts that fail.' },
    )
}
