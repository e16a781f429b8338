/** Version of the tables in `project.db`: raise it when one of them changes. */
export const projectVersion = 1

/**
 * What the project of volunteers keeps. What changes with every request is in narrow rows of its own, so that many fit
 * on a page. Times are milliseconds since 1970.
 */
export const projectSchema = `
CREATE TABLE hosts (
  id INTEGER PRIMARY KEY,
  account INTEGER NOT NULL,
  cross_project_id TEXT NOT NULL,
  sequence_number INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  last_contact INTEGER NOT NULL,
  -- It was told not to come before.
  earliest_contact INTEGER NOT NULL DEFAULT 0,
  -- How often in a row it came too early.
  haste INTEGER NOT NULL DEFAULT 0,
  -- Copies a day for each processor.
  quota INTEGER NOT NULL,
  quota_day INTEGER NOT NULL DEFAULT 0,
  sent_today INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  flops REAL NOT NULL DEFAULT 0,
  total_credit REAL NOT NULL DEFAULT 0,
  average_credit REAL NOT NULL DEFAULT 0,
  average_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX hosts_of_account ON hosts(account, cross_project_id);

CREATE TABLE host_facts (
  host INTEGER PRIMARY KEY,
  -- JSON of HostFacts and the platform.
  facts TEXT NOT NULL
) STRICT;

CREATE TABLE volunteers (
  account INTEGER PRIMARY KEY,
  total_credit REAL NOT NULL DEFAULT 0,
  average_credit REAL NOT NULL DEFAULT 0,
  average_at INTEGER NOT NULL DEFAULT 0,
  day INTEGER NOT NULL DEFAULT 0,
  hosts_that_day INTEGER NOT NULL DEFAULT 0,
  preferences TEXT
) STRICT;

CREATE TABLE applications (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  definition TEXT NOT NULL,
  UNIQUE (name, version)
) STRICT;

CREATE TABLE workunits (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  application INTEGER NOT NULL,
  -- JSON of Workunit, without the application.
  definition TEXT NOT NULL,
  replication TEXT NOT NULL,
  kind TEXT NOT NULL DEFAULT 'active',
  cause TEXT,
  message TEXT,
  to_send INTEGER NOT NULL,
  -- How many copies there are: the next one's number.
  copies INTEGER NOT NULL DEFAULT 0,
  is_started INTEGER NOT NULL DEFAULT 0,
  was_running INTEGER NOT NULL DEFAULT 0,
  -- Archives of its copies are to be read.
  to_judge INTEGER NOT NULL DEFAULT 0,
  quorum INTEGER NOT NULL,
  cpus REAL NOT NULL,
  estimated_ms INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  disk_bytes INTEGER NOT NULL,
  -- Kind of host that copies go to, once one has gone out; empty for any.
  host_class TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX workunits_to_send ON workunits(application, is_started, id)
  WHERE to_send > 0;
CREATE INDEX workunits_to_judge ON workunits(id) WHERE to_judge = 1;

CREATE TABLE copies (
  workunit INTEGER NOT NULL,
  number INTEGER NOT NULL,
  host INTEGER NOT NULL,
  account INTEGER NOT NULL,
  platform TEXT NOT NULL,
  state TEXT NOT NULL,
  cause TEXT,
  message TEXT,
  digest TEXT,
  sent_at INTEGER NOT NULL,
  deadline INTEGER NOT NULL,
  resends INTEGER NOT NULL DEFAULT 0,
  is_running INTEGER NOT NULL DEFAULT 0,
  ended_at INTEGER,
  exit_status INTEGER,
  cpu_seconds REAL NOT NULL DEFAULT 0,
  output_name TEXT NOT NULL,
  -- Of the file that came, once it was whole.
  output_bytes INTEGER,
  output_md5 TEXT,
  PRIMARY KEY (workunit, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX copies_of_host ON copies(host) WHERE state = 'sent';
CREATE INDEX copies_by_deadline ON copies(deadline) WHERE state = 'sent';

-- Inputs and program files that hosts may fetch, for each that needs them.
CREATE TABLE files (
  name TEXT NOT NULL,
  -- Id of the workunit, or 0 for programs.
  workunit INTEGER NOT NULL,
  path TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (name, workunit)
) STRICT, WITHOUT ROWID;
CREATE INDEX files_of_workunit ON files(workunit);

-- Results that did not count: doubled, late or not the host's. The oldest are dropped.
CREATE TABLE refusals (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  host INTEGER NOT NULL,
  name TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT;
`
