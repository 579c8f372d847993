-- 0007_add_test_runs.sql: test runs, a daily roll-up of results for heat maps, the tools last seen, and every revision of a configuration.

CREATE TABLE test_runs (
    id TEXT PRIMARY KEY,
    server_id TEXT NOT NULL,
    configuration_id TEXT,
    configuration_revision INTEGER,
    types JSON NOT NULL,
    profile TEXT NOT NULL CHECK (profile IN ('quick', 'full')),
    parameters JSON NOT NULL,
    seed INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    verdict TEXT CHECK (verdict IN ('pass', 'fail', 'undecided')),
    counts JSON NOT NULL,
    detail JSON NOT NULL,
    image_id TEXT,
    image_digest TEXT,
    protocol TEXT,
    error JSON,
    job_id TEXT,
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    started_at DATETIME,
    finished_at DATETIME,
    created_by TEXT,
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE,
    FOREIGN KEY (configuration_id) REFERENCES configurations (id) ON DELETE SET NULL,
    FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE SET NULL
);

CREATE INDEX idx_test_runs_created_at ON test_runs (created_at, id);
CREATE INDEX idx_test_runs_server_id ON test_runs (server_id, created_at, id);
CREATE INDEX idx_test_runs_state ON test_runs (state, created_at, id);
CREATE INDEX idx_test_runs_verdict ON test_runs (verdict, created_at, id);
CREATE INDEX idx_test_runs_configuration_id ON test_runs (configuration_id);
CREATE INDEX idx_test_runs_job_id ON test_runs (job_id);

CREATE TABLE test_results_daily (
    server_id TEXT NOT NULL,
    test_type TEXT NOT NULL,
    day TEXT NOT NULL,
    success INTEGER NOT NULL DEFAULT 0,
    failure INTEGER NOT NULL DEFAULT 0,
    error INTEGER NOT NULL DEFAULT 0,
    timeout INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (server_id, day, test_type),
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE tools (
    server_id TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    definition JSON NOT NULL,
    seen_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (server_id, position),
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE INDEX idx_tools_name ON tools (server_id, name);

CREATE TABLE configuration_revisions (
    configuration_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    config_data JSON NOT NULL,
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    created_by TEXT,
    PRIMARY KEY (configuration_id, revision),
    FOREIGN KEY (configuration_id) REFERENCES configurations (id) ON DELETE CASCADE
) WITHOUT ROWID;
