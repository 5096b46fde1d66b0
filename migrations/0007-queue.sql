-- Catalog schema 7: tasks and events.

-- states: 0 queued, 1 running, 2 paused, 3 waiting for an operator, 4 completed, 5 failed, 6 cancelled.
CREATE TABLE task (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  title TEXT NOT NULL,
  state INTEGER NOT NULL,
  work TEXT NOT NULL,
  origin TEXT NOT NULL,
  priority INTEGER NOT NULL,
  dedupe TEXT,
  attempt INTEGER NOT NULL,
  job_id INTEGER,
  set_id INTEGER,
  drive_id INTEGER,
  volume TEXT,
  waiting_for TEXT,
  prompt TEXT,
  progress TEXT,
  result TEXT,
  error TEXT,
  created INTEGER NOT NULL,
  started INTEGER,
  finished INTEGER,
  updated INTEGER NOT NULL
) STRICT;
CREATE INDEX task_live ON task (state) WHERE state < 4;
CREATE INDEX task_job ON task (job_id, id) WHERE job_id IS NOT NULL;

-- AUTOINCREMENT: an id is never used again, so that a reader can go on behind the last one it saw.
CREATE TABLE event (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,
  kind TEXT NOT NULL,
  severity INTEGER NOT NULL,
  message TEXT NOT NULL,
  data TEXT NOT NULL,
  task_id INTEGER,
  job_id INTEGER,
  volume_id INTEGER,
  drive_id INTEGER
) STRICT;
