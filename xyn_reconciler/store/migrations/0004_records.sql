-- Records that cannot be written stand aside; what triggers remember is found by its event.

ALTER TABLE outbox ADD COLUMN set_aside text;
COMMENT ON COLUMN outbox.set_aside IS 'Why this row cannot be recorded; it is tried again when a committer starts.';
CREATE INDEX dedupe_windows_by_run ON dedupe_windows (run_id);
CREATE INDEX debounced_by_event ON debounced (event_id);
