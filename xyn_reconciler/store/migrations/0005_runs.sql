-- Re-runs, and what people say to a step that was interrupted.

ALTER TABLE runs ADD COLUMN key_run_id uuid;
COMMENT ON COLUMN runs.key_run_id IS 'The run whose id stands in idempotency keys: of a re-run that repeats effects under their first keys.';
ALTER TABLE steps ADD COLUMN resolution text CHECK (resolution IN ('retry', 'done', 'fail'));
ALTER TABLE steps ADD COLUMN resolved_by text;
COMMENT ON COLUMN steps.resolution IS 'What a person chose for this interrupted step, until a worker has done it.';
