-- 0009_add_pins_and_findings.sql: what was approved of a server, what it says now instead, and what its test runs found and
-- somebody accepted for a while.

-- what happens to a call of a tool that is not what was approved
ALTER TABLE servers ADD COLUMN pin_policy TEXT NOT NULL DEFAULT 'block' CHECK (pin_policy IN ('block', 'warn'));
-- which lists were pinned at first sight, and when; a list that was empty then counts, too
ALTER TABLE servers ADD COLUMN pinned JSON NOT NULL DEFAULT '{}';

CREATE TABLE pins (
    server_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('tool', 'prompt', 'resource', 'template', 'instructions')),
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    approved_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    approved_by TEXT NOT NULL,
    definition JSON NOT NULL,
    PRIMARY KEY (server_id, kind, name),
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE pin_changes (
    server_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('tool', 'prompt', 'resource', 'template', 'instructions')),
    name TEXT NOT NULL,
    change TEXT NOT NULL CHECK (change IN ('added', 'changed', 'removed')),
    hash TEXT NOT NULL,
    seen_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    definition JSON,
    PRIMARY KEY (server_id, kind, name),
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE findings (
    id TEXT PRIMARY KEY,
    server_id TEXT NOT NULL,
    test_type TEXT NOT NULL,
    check_id TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    key TEXT NOT NULL DEFAULT '',
    severity TEXT NOT NULL CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    confidence TEXT NOT NULL CHECK (confidence IN ('certain', 'firm', 'tentative')),
    summary TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'fixed')),
    first_seen_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    first_run_id TEXT NOT NULL,
    last_seen_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    last_run_id TEXT NOT NULL,
    result_id TEXT NOT NULL,
    accepted_at DATETIME,
    accepted_by TEXT,
    accepted_until DATETIME,
    accepted_severity TEXT,
    reason TEXT,
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE,
    CHECK (state <> 'accepted' OR (accepted_at IS NOT NULL AND accepted_by IS NOT NULL AND accepted_until IS NOT NULL
           AND accepted_severity IS NOT NULL AND reason <> ''))
);

CREATE UNIQUE INDEX idx_findings_what ON findings (server_id, check_id, tool_name, key);
CREATE INDEX idx_findings_server_id ON findings (server_id, first_seen_at, id);
CREATE INDEX idx_findings_first_seen_at ON findings (first_seen_at, id);
CREATE INDEX idx_findings_state ON findings (state, first_seen_at, id);
CREATE INDEX idx_findings_severity ON findings (severity, first_seen_at, id);
CREATE INDEX idx_findings_check_id ON findings (check_id, first_seen_at, id);
CREATE INDEX idx_findings_test_type ON findings (test_type, first_seen_at, id);
-- what is open or accepted, of all servers and of one
CREATE INDEX idx_findings_standing ON findings (first_seen_at, id) WHERE state <> 'fixed';
CREATE INDEX idx_findings_server_standing ON findings (server_id, first_seen_at, id) WHERE state <> 'fixed';
