-- 0002_add_configuration_secrets.sql: bindings – which configuration uses which secret, under which variable, how delivered.

CREATE TABLE configuration_secrets (
    id TEXT PRIMARY KEY,
    configuration_id TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('required', 'optional', 'conditional')),
    usage_context TEXT,
    created_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    created_by TEXT,
    variable TEXT NOT NULL DEFAULT '',
    delivery TEXT NOT NULL DEFAULT 'stdin' CHECK (delivery IN ('stdin', 'file', 'environment')),
    condition JSON,
    CHECK ((scope = 'conditional') = (condition IS NOT NULL)),
    FOREIGN KEY (configuration_id) REFERENCES configurations (id) ON DELETE CASCADE,
    FOREIGN KEY (secret_id) REFERENCES secrets (id) ON DELETE CASCADE,
    UNIQUE (configuration_id, secret_id),
    UNIQUE (configuration_id, variable)
);

CREATE INDEX idx_configuration_secrets_config_id ON configuration_secrets (configuration_id);
CREATE INDEX idx_configuration_secrets_secret_id ON configuration_secrets (secret_id);
CREATE INDEX idx_configuration_secrets_scope ON configuration_secrets (scope);
