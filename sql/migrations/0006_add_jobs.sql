-- 0006_add_jobs.sql: background work as rows with leases, what was last seen of engine and worker, and faults of plugins.

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    progress REAL,
    message TEXT NOT NULL DEFAULT '',
    payload JSON NOT NULL,
    result JSON,
    error JSON,
    subject TEXT NOT NULL DEFAULT '',
    dedupe_key TEXT,
    idempotency_key TEXT,
    idempotency_hash TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    lease_until DATETIME,
    cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    started_at DATETIME,
    finished_at DATETIME,
    created_by TEXT NOT NULL
);

CREATE INDEX idx_jobs_created_at ON jobs (created_at, id);
CREATE INDEX idx_jobs_state ON jobs (state, created_at, id);
CREATE INDEX idx_jobs_kind ON jobs (kind, created_at, id);
CREATE INDEX idx_jobs_subject ON jobs (subject, created_at, id);
CREATE INDEX idx_jobs_queued ON jobs (created_at, id) WHERE state = 'queued';
CREATE INDEX idx_jobs_running ON jobs (worker) WHERE state = 'running';
CREATE UNIQUE INDEX idx_jobs_dedupe_key ON jobs (dedupe_key) WHERE dedupe_key IS NOT NULL AND state IN ('queued', 'running');
CREATE INDEX idx_jobs_idempotency ON jobs (created_by, idempotency_key, created_at) WHERE idempotency_key IS NOT NULL;

CREATE TABLE observations (
    name TEXT PRIMARY KEY,
    value JSON NOT NULL,
    since DATETIME NOT NULL,
    at DATETIME NOT NULL
);

CREATE TABLE plugin_events (
    id TEXT PRIMARY KEY,
    plugin TEXT NOT NULL,
    hook TEXT NOT NULL,
    error TEXT NOT NULL,
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

CREATE INDEX idx_plugin_events_plugin ON plugin_events (plugin, created_at, id);
CREATE INDEX idx_plugin_events_created_at ON plugin_events (created_at, id);
