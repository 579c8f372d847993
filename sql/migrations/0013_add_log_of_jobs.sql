-- 0013_add_log_of_jobs.sql: what a job did, step by step, stays with its row; and a person's own jobs are found without a scan.

ALTER TABLE jobs ADD COLUMN log JSON NOT NULL DEFAULT '[]';

CREATE INDEX idx_jobs_created_by ON jobs (created_by, created_at, id);
CREATE INDEX idx_jobs_finished_at ON jobs (finished_at, id) WHERE finished_at IS NOT NULL;
