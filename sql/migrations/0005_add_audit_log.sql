-- 0005_add_audit_log.sql: what happened, append-only and hash-chained; written in the transaction of the change.

CREATE TABLE audit_log (
    seq INTEGER PRIMARY KEY,
    at DATETIME NOT NULL,
    actor TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    ip TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail JSON NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE
);

CREATE INDEX idx_audit_log_actor ON audit_log (actor, seq);
CREATE INDEX idx_audit_log_action ON audit_log (action, seq);
CREATE INDEX idx_audit_log_target ON audit_log (target, seq);

-- rows below the floor may be deleted after they were exported
CREATE TABLE audit_floor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
);

INSERT INTO audit_floor (id, seq, hash) VALUES (1, 0, '');

CREATE TRIGGER audit_floor_one_row
BEFORE INSERT ON audit_floor
BEGIN
    SELECT RAISE(ABORT, 'the audit log has one floor');
END;

CREATE TRIGGER audit_floor_stays
BEFORE DELETE ON audit_floor
BEGIN
    SELECT RAISE(ABORT, 'the audit log has one floor');
END;

-- the floor rises to a row that is there, after that was written down
CREATE TRIGGER audit_floor_rises
BEFORE UPDATE ON audit_floor
WHEN
    NEW.id <> 1
    OR NEW.seq <= OLD.seq
    OR NEW.hash IS NOT (SELECT hash FROM audit_log WHERE seq = NEW.seq)
    OR NOT EXISTS (SELECT 1 FROM audit_log WHERE action = 'audit.prune' AND seq > NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'the floor of the audit log rises after an audit.prune row');
END;

CREATE TRIGGER audit_log_no_update
BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_log_no_delete
BEFORE DELETE ON audit_log
WHEN OLD.seq > (SELECT seq FROM audit_floor)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_log_chain
BEFORE INSERT ON audit_log
WHEN
    NEW.seq IS NOT (SELECT coalesce(max(seq), (SELECT seq FROM audit_floor)) + 1 FROM audit_log)
    OR NEW.prev_hash IS NOT coalesce(
        (SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1), (SELECT hash FROM audit_floor)
    )
BEGIN
    SELECT RAISE(ABORT, 'an audit row continues the chain');
END;
