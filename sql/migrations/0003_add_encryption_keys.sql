-- 0003_add_encryption_keys.sql: named keys and their versions. The row of a key names its newest version; the versions hold
-- the wrapped material and its check value, and go one way only: active, retiring, retired, destroyed.

CREATE TABLE encryption_keys (
    id TEXT PRIMARY KEY,
    key_name TEXT NOT NULL UNIQUE,
    key_version INTEGER NOT NULL DEFAULT 1,
    is_active BOOLEAN DEFAULT TRUE,
    created_at DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    rotated_at DATETIME,
    created_by TEXT
);

CREATE INDEX idx_encryption_keys_is_active ON encryption_keys (is_active);
CREATE INDEX idx_encryption_keys_key_name ON encryption_keys (key_name);

CREATE TABLE encryption_key_versions (
    key_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'retiring', 'retired', 'destroyed')),
    alg TEXT NOT NULL,
    wrapped_key BLOB,
    kek_id TEXT NOT NULL,
    kek_source TEXT NOT NULL,
    kcv TEXT NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0,
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    compromised_at DATETIME,
    retired_at DATETIME,
    destroyed_at DATETIME,
    PRIMARY KEY (key_id, version),
    CHECK ((state = 'destroyed') = (wrapped_key IS NULL)),
    FOREIGN KEY (key_id) REFERENCES encryption_keys (id)
);

CREATE UNIQUE INDEX idx_encryption_key_versions_active ON encryption_key_versions (key_id) WHERE state = 'active';

CREATE TRIGGER encryption_key_versions_one_way
BEFORE UPDATE OF state ON encryption_key_versions
WHEN NOT (
    NEW.state = OLD.state
    OR (OLD.state = 'active' AND NEW.state = 'retiring')
    OR (OLD.state = 'retiring' AND NEW.state = 'retired')
    OR (OLD.state = 'retired' AND NEW.state = 'destroyed')
)
BEGIN
    SELECT RAISE(ABORT, 'a key version goes from active to retiring to retired to destroyed');
END;

CREATE TRIGGER encryption_key_versions_begin_active
BEFORE INSERT ON encryption_key_versions
WHEN NEW.state <> 'active'
BEGIN
    SELECT RAISE(ABORT, 'a key version begins as active');
END;

CREATE TRIGGER encryption_key_versions_in_use
BEFORE UPDATE OF state ON encryption_key_versions
WHEN NEW.state IN ('retired', 'destroyed') AND EXISTS (
    SELECT 1 FROM secrets
    WHERE encryption_key_id = NEW.key_id AND key_version = NEW.version
)
BEGIN
    SELECT RAISE(ABORT, 'a key version stays while a secret needs it');
END;

CREATE TRIGGER encryption_key_versions_no_delete
BEFORE DELETE ON encryption_key_versions
BEGIN
    SELECT RAISE(ABORT, 'a destroyed key version stays as evidence');
END;

CREATE TRIGGER secrets_only_under_active_key
BEFORE INSERT ON secrets
WHEN NOT EXISTS (
    SELECT 1 FROM encryption_key_versions
    WHERE key_id = NEW.encryption_key_id AND version = NEW.key_version AND state = 'active'
)
BEGIN
    SELECT RAISE(ABORT, 'a secret is written under the active key version only');
END;

CREATE TRIGGER secrets_stay_under_active_key
BEFORE UPDATE OF encrypted_value, encryption_key_id, key_version ON secrets
WHEN NOT EXISTS (
    SELECT 1 FROM encryption_key_versions
    WHERE key_id = NEW.encryption_key_id AND version = NEW.key_version AND state = 'active'
)
BEGIN
    SELECT RAISE(ABORT, 'a secret is written under the active key version only');
END;
