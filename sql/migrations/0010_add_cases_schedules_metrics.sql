-- 0010_add_cases_schedules_metrics.sql: saved cases of tools, schedules of test runs, series of numbers that runs measured,
-- what people choose for the whole installation (how long results are kept), and jobs that want to be alone.

CREATE TABLE test_cases (
    id TEXT PRIMARY KEY,
    server_id TEXT NOT NULL,
    name TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    arguments JSON NOT NULL,
    assertions JSON NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    created_by TEXT,
    updated_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    revision INTEGER NOT NULL DEFAULT 1,
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE,
    UNIQUE (server_id, name)
);

CREATE INDEX idx_test_cases_created_at ON test_cases (created_at, id);
CREATE INDEX idx_test_cases_server_id ON test_cases (server_id, created_at, id);

CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    server_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- no type means all that are registered when it is due
    types JSON NOT NULL,
    -- a name; without one the configuration that is active when it is due
    configuration TEXT,
    profile TEXT NOT NULL CHECK (profile IN ('quick', 'full')),
    parameters JSON NOT NULL,
    every_minutes INTEGER CHECK (every_minutes >= 5),
    on_new_image BOOLEAN NOT NULL DEFAULT FALSE,
    next_at DATETIME,
    -- the image that was looked at last; another one is a new one
    image_id TEXT,
    last_run_id TEXT,
    last_detail TEXT NOT NULL DEFAULT '',
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    created_by TEXT,
    updated_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    revision INTEGER NOT NULL DEFAULT 1,
    CHECK (every_minutes IS NOT NULL OR on_new_image = TRUE),
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE,
    FOREIGN KEY (last_run_id) REFERENCES test_runs (id) ON DELETE SET NULL,
    UNIQUE (server_id, name)
);

CREATE INDEX idx_schedules_created_at ON schedules (created_at, id);
CREATE INDEX idx_schedules_server_id ON schedules (server_id, created_at, id);
CREATE INDEX idx_schedules_last_run_id ON schedules (last_run_id);
CREATE INDEX idx_schedules_next_at ON schedules (next_at) WHERE is_active = TRUE AND next_at IS NOT NULL;
CREATE INDEX idx_schedules_on_new_image ON schedules (on_new_image, id) WHERE is_active = TRUE;

-- created_at is that of the run, so that all numbers of a run stand at one place of their series
CREATE TABLE test_metrics (
    server_id TEXT NOT NULL,
    name TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    run_id TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (server_id, name, tool_name, created_at, run_id),
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE,
    FOREIGN KEY (run_id) REFERENCES test_runs (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE INDEX idx_test_metrics_run_id ON test_metrics (run_id);

-- as text: a column of type JSON turns a lone number into one
CREATE TABLE choices (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_by TEXT
);

-- a job that is alone starts when nothing of its kind runs, and nothing of its kind starts beside it
ALTER TABLE jobs ADD COLUMN is_exclusive BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX idx_jobs_exclusive ON jobs (state, created_at, id) WHERE is_exclusive = TRUE AND state IN ('queued', 'running');

-- the types at the end let the listing pass over runs of other types without reading them
DROP INDEX idx_test_runs_created_at;
CREATE INDEX idx_test_runs_created_at ON test_runs (created_at, id, types);
CREATE INDEX idx_test_runs_image_digest ON test_runs (image_digest, created_at, id);
