/**
 * The journal of one execution: `journal.db` in its directory. Raise the version when a table changes.
 * Times are milliseconds since 1970; contexts are JSON as `encodeJson` writes it.
 */
export const journalVersion = 2

export const journalSchema = `
  CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;

  CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL,
    ticket TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    exit_code INTEGER,
    ready_at REAL,
    started_at REAL,
    ended_at REAL,
    error TEXT,
    output TEXT,
    checksum INTEGER NOT NULL,
    UNIQUE (step, ticket)
  );

  CREATE TABLE attempts (
    id TEXT PRIMARY KEY,
    jobs TEXT NOT NULL,
    number INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    state TEXT NOT NULL,
    handle TEXT,
    started_at REAL,
    ended_at REAL,
    ending TEXT,
    checksum INTEGER NOT NULL
  ) WITHOUT ROWID;

  CREATE TABLE explorations (
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL,
    ticket TEXT NOT NULL,
    size INTEGER NOT NULL,
    listings TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (step, ticket)
  );

  CREATE TABLE samples (
    exploration INTEGER NOT NULL,
    sample INTEGER NOT NULL,
    contributions TEXT,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (exploration, sample)
  ) WITHOUT ROWID;

  CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    content TEXT NOT NULL,
    checksum INTEGER NOT NULL
  );

  CREATE TABLE hook_files (
    path TEXT PRIMARY KEY,
    length INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) WITHOUT ROWID;

  CREATE TABLE faults (
    sequence INTEGER PRIMARY KEY,
    environment INTEGER NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    stack TEXT NOT NULL,
    time REAL NOT NULL,
    checksum INTEGER NOT NULL
  );

  CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    checksum INTEGER NOT NULL
  );
`

/**
 * The index of all executions: `molehill.db` in the data directory. Raise the version when a table changes, and let
 * `src/engine/older-index.ts` read the one before.
 */
export const indexVersion = 3

export const indexSchema = `
  CREATE TABLE executions (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    labels TEXT NOT NULL,
    name TEXT NOT NULL,
    script TEXT NOT NULL,
    directory TEXT,
    state TEXT NOT NULL,
    is_cancelled INTEGER NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL,
    last TEXT,
    checksum INTEGER NOT NULL
  ) WITHOUT ROWID;

  CREATE TABLE start_keys (
    key TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    execution TEXT NOT NULL,
    time REAL NOT NULL,
    checksum INTEGER NOT NULL
  ) WITHOUT ROWID;
`

/**
 * Every statement that is ever written, by the name with which writers ask for it. What puts a row has a checksum of
 * the row's other columns as its last parameter, which the writing thread adds.
 */
export const statements = {
  setFact: put('facts', 2),
  putJob: put('jobs', 12),
  putAttempt: put('attempts', 9),
  putExploration: put('explorations', 5),
  putSample: put('samples', 3),
  putOutbox: put('outbox', 4),
  clearOutbox: { sql: 'DELETE FROM outbox WHERE path = ? AND sequence <= ?', isPut: false },
  putHookFile: put('hook_files', 2),
  putFault: put('faults', 6),
  trimFaults: { sql: 'DELETE FROM faults WHERE sequence <= ?', isPut: false },
  putEvent: put('events', 4),
  putExecution: put('executions', 11),
  putStartKey: put('start_keys', 4),
  deleteStartKeys: { sql: 'DELETE FROM start_keys WHERE time < ? OR execution = ?', isPut: false },
  deleteExecution: { sql: 'DELETE FROM executions WHERE id = ?', isPut: false },
} as const

function put(table: string, columns: number): { readonly sql: string; readonly isPut: true } {
  return { sql: `INSERT OR REPLACE INTO ${table} VALUES (${'?, '.repeat(columns)}?)`, isPut: true }
}

export type StatementName = keyof typeof statements

/** What SQLite stores in one column. */
export type Column = null | number | string

/** One change: a statement's name and its parameters. */
export type Write = readonly [statement: StatementName, ...columns: Column[]]
