import type { DialectTables } from '../../store/dialect-database.ts'

/** Times are milliseconds since 1970; `owner` is the name of a user, or empty for the operator. */
export const caesarTables: DialectTables = {
  dialect: 'caesar',
  version: 1,
  schema: `
    CREATE TABLE caesar_files (
      id TEXT PRIMARY KEY,
      owner TEXT NOT NULL,
      name TEXT NOT NULL,
      extension TEXT NOT NULL,
      bytes INTEGER NOT NULL,
      uploaded_at REAL NOT NULL,
      tag TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX caesar_files_by_owner ON caesar_files (owner, uploaded_at);

    CREATE TABLE caesar_jobs (
      id TEXT PRIMARY KEY,
      owner TEXT NOT NULL,
      app TEXT NOT NULL,
      data_inputs TEXT NOT NULL,
      echo TEXT NOT NULL,
      ignored TEXT NOT NULL,
      tag TEXT NOT NULL,
      submitted_at REAL NOT NULL,
      execution TEXT,
      key TEXT,
      digest TEXT NOT NULL,
      state TEXT NOT NULL,
      status TEXT NOT NULL,
      exit_code INTEGER NOT NULL,
      elapsed_s INTEGER NOT NULL,
      bytes INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX caesar_jobs_by_owner ON caesar_jobs (owner, submitted_at);
    CREATE INDEX caesar_jobs_by_state ON caesar_jobs (state);
    CREATE UNIQUE INDEX caesar_jobs_by_key ON caesar_jobs (owner, key) WHERE key IS NOT NULL;
  `,
}
