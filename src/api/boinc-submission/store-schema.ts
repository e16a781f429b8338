/**
 * What the remote submission keeps beside the executions: `boinc.db` in the data directory. Raise the version when a
 * table changes. Times are milliseconds since 1970; 0 is never.
 */
export const storeVersion = 1

export const storeSchema = `
  CREATE TABLE batches (
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
    digest BLOB
  );
  CREATE INDEX batches_of_owner ON batches (owner, name);

  CREATE TABLE jobs (
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

  CREATE TABLE files (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    used_at REAL NOT NULL,
    delete_at REAL NOT NULL,
    PRIMARY KEY (owner, name)
  ) WITHOUT ROWID;

  CREATE TABLE file_uses (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    batch INTEGER NOT NULL,
    PRIMARY KEY (owner, name, batch)
  ) WITHOUT ROWID;
`
