-- What triggers remember: schedules, the windows of dedupe, what debounce holds back, and what
-- therefore started nothing.

CREATE TABLE schedules (
    blueprint_id text NOT NULL,
    trigger_index bigint NOT NULL,
    cron text NOT NULL,
    timezone text NOT NULL,
    missed text NOT NULL CHECK (missed IN ('skip', 'last', 'all')),
    event_name text NOT NULL,
    looked_until timestamptz NOT NULL,
    next_at timestamptz,
    PRIMARY KEY (blueprint_id, trigger_index)
);
COMMENT ON COLUMN schedules.looked_until IS 'Every slot up to here has fired, or was passed over as "missed" says.';
CREATE INDEX schedules_due ON schedules (next_at);

CREATE TABLE dedupe_windows (
    blueprint_id text NOT NULL,
    trigger_index bigint NOT NULL,
    key text NOT NULL,
    run_id uuid NOT NULL,
    ends_at timestamptz NOT NULL,
    PRIMARY KEY (blueprint_id, trigger_index, key)
);
COMMENT ON TABLE dedupe_windows IS 'The run that suppresses further events of a key, until when.';
CREATE INDEX dedupe_windows_ended ON dedupe_windows (ends_at);

CREATE TABLE debounced (
    blueprint_id text NOT NULL,
    trigger_index bigint NOT NULL,
    key text NOT NULL,
    event_id uuid NOT NULL,
    before_id uuid,
    first_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (blueprint_id, trigger_index, key)
);
COMMENT ON TABLE debounced IS 'The newest event of a key, which starts its run when the key has been quiet.';
CREATE INDEX debounced_due ON debounced (due_at);

CREATE TABLE suppressions (
    event_id uuid NOT NULL REFERENCES events (event_id) ON DELETE CASCADE,
    blueprint_id text NOT NULL,
    trigger_index bigint NOT NULL,
    reason text NOT NULL CHECK (reason IN ('dedupe', 'debounce', 'invalid')),
    key text,
    detail text,
    run_id uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (event_id, blueprint_id)
);
COMMENT ON TABLE suppressions IS 'A trigger that fitted an event and started nothing, why, and the run in whose favour.';
CREATE INDEX suppressions_by_run ON suppressions (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX suppressions_open ON suppressions (blueprint_id, trigger_index, key) WHERE reason = 'debounce' AND run_id IS NULL;
