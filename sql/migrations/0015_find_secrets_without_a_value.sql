-- 0015_find_secrets_without_a_value.sql: a secret that came with a set-up or a catalogue waits for its first value; who stores one
-- of its name fills it in. Without this index every new secret would read all of its scope.

CREATE INDEX idx_secrets_blank ON secrets (name, scope, owner_id) WHERE value_version = 0;
