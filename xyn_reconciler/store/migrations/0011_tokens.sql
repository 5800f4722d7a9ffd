-- What agent_tasks may still ask: tokens are set aside before a model is asked.

-- A step may ask several models: a fallback, or an item each.
ALTER TABLE footprints DROP CONSTRAINT footprints_pkey;
ALTER TABLE footprints ADD PRIMARY KEY (run_id, key, metric, source_ref, occurred_at);
CREATE INDEX footprints_of_models ON footprints (occurred_at)
    WHERE metric IN ('tokens_in', 'tokens_out');

CREATE TABLE token_claims (
    claim_id uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    step_id uuid NOT NULL,
    tokens bigint NOT NULL CHECK (tokens >= 0),
    settled boolean NOT NULL DEFAULT false,
    claimed_at timestamptz NOT NULL
);
COMMENT ON TABLE token_claims IS 'Tokens set aside for questions to models, until settled the most that they may use.';
CREATE INDEX token_claims_by_run ON token_claims (run_id);
CREATE INDEX token_claims_by_day ON token_claims (claimed_at);
