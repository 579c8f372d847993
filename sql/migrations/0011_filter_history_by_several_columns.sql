-- 0011_filter_history_by_several_columns.sql: a history with two filters walked the index of one and read every row it named, to
-- look at the other: up to half a second over a million results. With the filtered columns at the end of the index a row of
-- another kind is passed over without being read. Each index keeps its name and what it begins with.

DROP INDEX idx_test_results_server_id;
CREATE INDEX idx_test_results_server_id ON test_results (server_id, created_at, id, status, test_type, check_id, tool_name, severity);

DROP INDEX idx_test_results_configuration_id;
CREATE INDEX idx_test_results_configuration_id
ON test_results (configuration_id, created_at, id, status, test_type, check_id, tool_name, severity);

DROP INDEX idx_test_results_check_id;
CREATE INDEX idx_test_results_check_id ON test_results (check_id, created_at, id, status, test_type, tool_name, severity);

DROP INDEX idx_test_results_tool_name;
CREATE INDEX idx_test_results_tool_name ON test_results (tool_name, created_at, id, status, test_type, severity);

DROP INDEX idx_test_results_status;
CREATE INDEX idx_test_results_status ON test_results (status, created_at, id, test_type, severity);

DROP INDEX idx_test_results_test_type;
CREATE INDEX idx_test_results_test_type ON test_results (test_type, created_at, id, status, severity);

DROP INDEX idx_test_results_severity;
CREATE INDEX idx_test_results_severity ON test_results (severity, created_at, id, status, test_type) WHERE severity IS NOT NULL;
