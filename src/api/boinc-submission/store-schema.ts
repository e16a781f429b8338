import type { DialectTables } from '../../store/dialect-database.ts'

/** What the remote submission keeps beside the executions. Times are milliseconds since 1970; 0 is never. */
export const submissionTables: DialectTables = {
  dialect: 'boinc-submission',
  version: 1,
  schema: `
  CREATE TABLE boinc_batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    app TEXT NOT NULL,
    generation TEXT NOT NULL,
    -- 'init': made by create_batch; 'making': its jobs are being made; 'started': they all exist.
    phase TEXT NOT NULL,
    -- Whether create_batch made it, so that it outlives a submit that fails.
    is_prepared INTEGER NOT NULL,
    jobs INTEGER NOT NULL,
    created_at REAL NOT NULL,
    submitted_at REAL NOT NULL,
    expire_at REAL NOT NULL,
    aborted_at REAL NOT NULL,
    retired_at REAL NOT NULL,
    estimated_seconds REAL NOT NULL,
    execution TEXT NOT NULL,
    key_id TEXT NOT NULL,
    digest BLOB
  );
  CREATE INDEX batches_of_owner ON boinc_batches (owner, name);

  CREATE TABLE boinc_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    aborted_at REAL NOT NULL,
    digests BLOB,
    UNIQUE (batch, number),
    UNIQUE (owner, name)
  );

  CREATE TABLE boinc_files (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    used_at REAL NOT NULL,
    delete_at REAL NOT NULL,
    PRIMARY KEY (owner, name)
  ) WITHOUT ROWID;

  CREATE TABLE boinc_file_uses (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    batch INTEGER NOT NULL,
    PRIMARY KEY (owner, name, batch)
  ) WITHOUT ROWID;
`,
}
