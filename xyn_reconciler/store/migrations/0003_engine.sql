-- Slots of runs that share a limit, and what runs use up.

ALTER TABLE runs ADD COLUMN concurrency_key text;
COMMENT ON COLUMN runs.concurrency_key IS 'Runs of one key share a limit; one that has started and not ended holds a slot of it.';
CREATE INDEX runs_by_concurrency ON runs (concurrency_key, created_at, run_id)
    WHERE concurrency_key IS NOT NULL AND status IN ('created', 'running', 'waiting');
CREATE INDEX runs_by_parent ON runs (parent_step_id) WHERE parent_step_id IS NOT NULL;
CREATE INDEX runs_by_origin ON runs (origin_run_id) WHERE origin_run_id IS NOT NULL;

-- A step is written two or three times within a second: leave room to do it in its place.
ALTER TABLE steps SET (fillfactor = 60);
ALTER TABLE runs SET (fillfactor = 70);

CREATE TABLE footprints (
    run_id uuid NOT NULL,
    key text NOT NULL,
    metric text NOT NULL,
    source_kind text NOT NULL,
    source_ref text NOT NULL,
    quantity double precision NOT NULL,
    unit text NOT NULL,
    class text NOT NULL,
    dims json,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, key, metric, occurred_at)
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE footprints IS 'What runs used up; a month is a partition, in the schema "partitions", made ahead by the maintenance.';
CREATE SCHEMA partitions;
CREATE TABLE partitions.footprints_other PARTITION OF footprints DEFAULT;
