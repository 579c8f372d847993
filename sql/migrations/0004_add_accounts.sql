-- 0004_add_accounts.sql: people, their sessions and API tokens, the one-time setup link, and throttling that all processes share.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    disabled_at DATETIME,
    language TEXT NOT NULL DEFAULT '',
    theme TEXT NOT NULL DEFAULT '',
    created_by TEXT
);

-- only the hash of the cookie's value is kept
CREATE TABLE sessions (
    id_hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    csrf_key BLOB NOT NULL,
    created_at DATETIME NOT NULL,
    seen_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    ip TEXT NOT NULL DEFAULT '',
    user_agent TEXT NOT NULL DEFAULT '',
    stepped_up_at DATETIME,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX idx_sessions_user_id ON sessions (user_id, seen_at);
CREATE INDEX idx_sessions_expires_at ON sessions (expires_at);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    hash TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    last_used_at DATETIME,
    revoked_at DATETIME,
    created_by TEXT,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX idx_tokens_user_id ON tokens (user_id, created_at, id);
CREATE INDEX idx_tokens_created_at ON tokens (created_at, id);

CREATE TABLE setup_tokens (
    hash TEXT PRIMARY KEY,
    expires_at DATETIME NOT NULL
);

-- a token bucket per name: how full it was, and when
CREATE TABLE throttle (
    bucket TEXT PRIMARY KEY,
    level REAL NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;
