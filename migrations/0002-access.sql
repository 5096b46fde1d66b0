-- Catalog schema 2: users, roles, sessions, API keys, the audit log. docs/access.md explains it.

-- Ids of people and keys are never given out again: the audit log names them.
CREATE TABLE user (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  username TEXT NOT NULL COLLATE NOCASE UNIQUE,
  role TEXT NOT NULL,
  email TEXT,
  full_name TEXT,
  is_active INTEGER NOT NULL,
  password_hash TEXT NOT NULL,
  created INTEGER NOT NULL,
  last_login INTEGER,
  failed INTEGER NOT NULL DEFAULT 0,
  locked_until INTEGER
) STRICT;

-- Roles beside the built-in ones.
CREATE TABLE role (
  name TEXT PRIMARY KEY,
  description TEXT NOT NULL,
  permissions TEXT NOT NULL,
  created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A refresh token is good while it has the session's generation.
CREATE TABLE session (
  id TEXT PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
  generation INTEGER NOT NULL DEFAULT 0,
  created INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  address TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX session_user ON session (user_id);

CREATE TABLE api_key (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id INTEGER REFERENCES user (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  prefix TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE,
  created INTEGER NOT NULL,
  expires INTEGER,
  last_used INTEGER
) STRICT;
CREATE INDEX api_key_user ON api_key (user_id);

-- Keys that sign access tokens, sealed by the vault.
CREATE TABLE signing_key (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  sealed BLOB NOT NULL,
  created INTEGER NOT NULL
) STRICT;

-- Counts the changes to the tables above that decide who may do what: what was read at one count holds as long as it does.
CREATE TABLE access_state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO access_state (id, epoch) VALUES (1, 0);

-- Append-only. A row tells that something began (begins NULL, outcome NULL), how what began in row `begins` ended, or both at
-- once (begins NULL, an outcome). `hash` covers the row and the hash of the row before it.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  begins INTEGER UNIQUE,
  time INTEGER NOT NULL,
  user_id INTEGER,
  username TEXT NOT NULL,
  action TEXT NOT NULL,
  resource_type TEXT NOT NULL,
  resource_id TEXT,
  details TEXT NOT NULL,
  address TEXT,
  request_id TEXT,
  outcome TEXT,
  hash BLOB NOT NULL
) STRICT;
CREATE INDEX audit_time ON audit (time) WHERE begins IS NULL;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
