-- 0001_initial_schema.sql: servers, their configurations, secrets, test types and results – the core of the seed.
-- Times carry milliseconds, because whole seconds tie; they sort rightly beside rows written with whole seconds.

CREATE TABLE servers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    image TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('running', 'stopped', 'error', 'unknown')),
    created_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    last_health_check DATETIME,
    metadata JSON,
    -- what people want, beside what was last seen (status)
    wanted TEXT NOT NULL DEFAULT 'stopped' CHECK (wanted IN ('running', 'stopped')),
    status_detail TEXT NOT NULL DEFAULT '',
    seen_at DATETIME,
    container_id TEXT,
    -- recorded at the first start; the connection test tells when the tag means another image later
    image_id TEXT,
    image_digest TEXT,
    protocol TEXT,
    created_by TEXT,
    removed_at DATETIME,
    revision INTEGER NOT NULL DEFAULT 1
);

CREATE INDEX idx_servers_status ON servers (status, created_at, id) WHERE removed_at IS NULL;
CREATE INDEX idx_servers_created_at ON servers (created_at, id) WHERE removed_at IS NULL;
-- a removed server gives its name free before its results are deleted
CREATE UNIQUE INDEX idx_servers_name ON servers (name) WHERE removed_at IS NULL;
CREATE INDEX idx_servers_removed_at ON servers (removed_at) WHERE removed_at IS NOT NULL;
CREATE INDEX idx_servers_wanted ON servers (wanted, created_at, id) WHERE removed_at IS NULL;

CREATE TABLE configurations (
    id TEXT PRIMARY KEY,
    server_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    config_data JSON NOT NULL,
    is_active BOOLEAN DEFAULT FALSE,
    created_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    created_by TEXT,
    revision INTEGER NOT NULL DEFAULT 1,
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE,
    UNIQUE (server_id, name)
);

CREATE INDEX idx_configurations_server_id ON configurations (server_id, created_at, id);
CREATE INDEX idx_configurations_is_active ON configurations (is_active);
CREATE INDEX idx_configurations_created_at ON configurations (created_at, id);
CREATE UNIQUE INDEX idx_configurations_server_active ON configurations (server_id, is_active) WHERE is_active = TRUE;

CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    encrypted_value TEXT NOT NULL,
    encryption_key_id TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('global', 'server', 'configuration')),
    created_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    created_by TEXT,
    expires_at DATETIME,
    is_active BOOLEAN DEFAULT TRUE,
    -- without an owner two servers could not both hold API_KEY
    owner_id TEXT NOT NULL DEFAULT '',
    key_version INTEGER NOT NULL DEFAULT 1,
    value_version INTEGER NOT NULL DEFAULT 1,
    CHECK ((scope = 'global') = (owner_id = '')),
    FOREIGN KEY (encryption_key_id) REFERENCES encryption_keys (id),
    FOREIGN KEY (encryption_key_id, key_version) REFERENCES encryption_key_versions (key_id, version)
);

CREATE INDEX idx_secrets_scope ON secrets (scope, created_at, id);
CREATE INDEX idx_secrets_is_active ON secrets (is_active);
CREATE INDEX idx_secrets_expires_at ON secrets (expires_at);
CREATE INDEX idx_secrets_created_at ON secrets (created_at, id);
-- rotation walks the secrets of one key version in the order of their rows
CREATE INDEX idx_secrets_key ON secrets (encryption_key_id, key_version);
CREATE UNIQUE INDEX idx_secrets_name_scope ON secrets (name, scope, owner_id) WHERE is_active = TRUE;

-- Test types are plugins, so the database checks the word by a foreign key; old results outlive their plugin.
CREATE TABLE test_types (
    name TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    plugin TEXT NOT NULL DEFAULT '',
    installed BOOLEAN NOT NULL DEFAULT TRUE,
    registered_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

CREATE TABLE test_results (
    id TEXT PRIMARY KEY,
    server_id TEXT NOT NULL,
    configuration_id TEXT,
    tool_name TEXT NOT NULL,
    test_type TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('success', 'failure', 'error', 'timeout')),
    input_data JSON,
    output_data JSON,
    error_message TEXT,
    execution_time_ms INTEGER,
    created_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    created_by TEXT,
    run_id TEXT,
    check_id TEXT,
    severity TEXT CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    FOREIGN KEY (server_id) REFERENCES servers (id) ON DELETE CASCADE,
    FOREIGN KEY (configuration_id) REFERENCES configurations (id) ON DELETE SET NULL,
    FOREIGN KEY (test_type) REFERENCES test_types (name),
    FOREIGN KEY (run_id) REFERENCES test_runs (id) ON DELETE CASCADE
);

-- the status at the end lets these two answer for a success rate, or skip rows of another status, without the table
CREATE INDEX idx_test_results_server_id ON test_results (server_id, created_at, id, status);
CREATE INDEX idx_test_results_configuration_id ON test_results (configuration_id, created_at, id);
CREATE INDEX idx_test_results_status ON test_results (status, created_at, id);
CREATE INDEX idx_test_results_created_at ON test_results (created_at, id, status);
CREATE INDEX idx_test_results_tool_name ON test_results (tool_name, created_at, id);
CREATE INDEX idx_test_results_test_type ON test_results (test_type, created_at, id);
CREATE INDEX idx_test_results_run_id ON test_results (run_id, created_at, id);
CREATE INDEX idx_test_results_check_id ON test_results (check_id, created_at, id);
CREATE INDEX idx_test_results_severity ON test_results (severity, created_at, id) WHERE severity IS NOT NULL;
