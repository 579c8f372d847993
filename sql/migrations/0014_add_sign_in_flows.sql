-- 0014_add_sign_in_flows.sql: somebody who went to a provider to sign in comes back once, in the same browser, within ten minutes;
-- only hashes of what the address and the browser's cookie hold are kept.

CREATE TABLE sign_in_flows (
    state_hash TEXT PRIMARY KEY,
    browser_hash TEXT NOT NULL,
    provider TEXT NOT NULL,
    data TEXT NOT NULL,
    expires_at DATETIME NOT NULL
) WITHOUT ROWID;

CREATE INDEX idx_sign_in_flows_expires_at ON sign_in_flows (expires_at);
