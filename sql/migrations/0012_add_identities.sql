-- 0012_add_identities.sql: people who sign in at a provider are known by issuer and subject, never by an address; users say when
-- they signed in last, count their changes (ETag), and are listed newest first.

ALTER TABLE users ADD COLUMN signed_in_at DATETIME;
ALTER TABLE users ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

CREATE INDEX idx_users_created_at ON users (created_at, id);

CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (issuer, subject),
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE INDEX idx_identities_user_id ON identities (user_id);
