-- 0008_add_quarantine.sql: secrets that a rotation could not open. They stay where they are and keep their key version from
-- being retired, until a person replaces or purges them.

CREATE TABLE quarantine (
    secret_id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    key_version INTEGER NOT NULL,
    reason TEXT NOT NULL,
    found_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    FOREIGN KEY (secret_id) REFERENCES secrets (id) ON DELETE CASCADE
);

CREATE INDEX idx_quarantine_key ON quarantine (key_id, key_version);

-- a new value is a value that opens
CREATE TRIGGER quarantine_ends_with_a_new_value
AFTER UPDATE OF encrypted_value ON secrets
BEGIN
    DELETE FROM quarantine WHERE secret_id = NEW.id;
END;
