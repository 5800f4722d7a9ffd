-- What is in flight, and the index of what is finished. Git is the truth for the rest.

CREATE TABLE node (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    node_id text NOT NULL,
    database_id uuid NOT NULL,
    last_applied_revision text,
    last_attempted_revision text,
    applied_at timestamptz,
    attempted_at timestamptz,
    applied_sequence bigint NOT NULL DEFAULT 0,
    settings json,
    conditions json NOT NULL DEFAULT '[]',
    rebuilt_at timestamptz
);

CREATE TABLE documents (
    path text PRIMARY KEY,
    kind text NOT NULL,
    document_id text NOT NULL,
    blob_id text NOT NULL,
    document json NOT NULL,
    reference_positions json NOT NULL DEFAULT '[]',
    conditions json NOT NULL DEFAULT '[]',
    revision text NOT NULL,
    sequence bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'retired')),
    applied_at timestamptz NOT NULL
);
CREATE INDEX documents_sequence ON documents (sequence);
CREATE UNIQUE INDEX documents_identity ON documents (kind, document_id) WHERE status = 'active';

CREATE TABLE events (
    event_id uuid PRIMARY KEY,
    event_name text NOT NULL,
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    env_id text NOT NULL,
    actor text NOT NULL,
    correlation_id text NOT NULL,
    run_id uuid,
    step_id uuid,
    resource json,
    data json NOT NULL,
    source text NOT NULL,
    delivery_id text,
    delivery_item bigint NOT NULL DEFAULT 0,
    content_type text,
    raw bytea,
    hops bigint NOT NULL DEFAULT 0,
    revision text,
    record_commit text
);
CREATE UNIQUE INDEX events_delivery ON events (source, delivery_id, delivery_item) WHERE delivery_id IS NOT NULL;
CREATE INDEX events_newest ON events (created_at DESC, event_id DESC);
CREATE INDEX events_by_name ON events (event_name, created_at DESC, event_id DESC);
CREATE INDEX events_by_run ON events (run_id, created_at DESC, event_id DESC) WHERE run_id IS NOT NULL;

CREATE TABLE plans (
    digest text PRIMARY KEY,
    plan json NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE runs (
    run_id uuid PRIMARY KEY,
    name text NOT NULL,
    blueprint_id text NOT NULL,
    revision text NOT NULL,
    plan_digest text NOT NULL REFERENCES plans (digest),
    status text NOT NULL CHECK (status IN ('created', 'running', 'waiting', 'completed', 'failed', 'cancelled')),
    wait_reason text,
    priority bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    deadline_at timestamptz,
    available_at timestamptz,
    waiting_since timestamptz,
    actor text NOT NULL,
    correlation_id text NOT NULL,
    event_id uuid REFERENCES events (event_id),
    inputs json NOT NULL,
    outputs json,
    error json,
    warnings bigint NOT NULL DEFAULT 0,
    hops bigint NOT NULL DEFAULT 0,
    origin_run_id uuid,
    parent_step_id uuid,
    attempt bigint NOT NULL DEFAULT 0,
    leased_by text,
    leased_until timestamptz,
    cancel_requested_at timestamptz,
    cancelled_by text,
    record_commit text,
    CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)),
    CHECK ((leased_by IS NULL) = (leased_until IS NULL))
);
COMMENT ON COLUMN runs.attempt IS 'Fencing token: each claim raises it, a write under an older one changes nothing.';
CREATE UNIQUE INDEX runs_one_per_event ON runs (blueprint_id, event_id) WHERE event_id IS NOT NULL AND origin_run_id IS NULL;
CREATE INDEX runs_newest ON runs (created_at DESC, run_id DESC);
CREATE INDEX runs_by_blueprint ON runs (blueprint_id, created_at DESC, run_id DESC);
CREATE INDEX runs_by_event ON runs (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX runs_unfinished ON runs (status, available_at) WHERE status IN ('created', 'running', 'waiting');

CREATE TABLE steps (
    step_id uuid PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    key text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    position bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('created', 'running', 'waiting', 'completed', 'failed', 'skipped', 'cancelled', 'interrupted')),
    wait_reason text,
    attempt bigint NOT NULL DEFAULT 0,
    interruptions bigint NOT NULL DEFAULT 0,
    available_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    logs_artifact_id uuid,
    inputs json,
    outputs json,
    error json,
    UNIQUE (run_id, key)
);

CREATE TABLE attempts (
    attempt_id uuid PRIMARY KEY,
    step_id uuid NOT NULL REFERENCES steps (step_id) ON DELETE CASCADE,
    item_index bigint,
    number bigint NOT NULL CHECK (number > 0),
    status text NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'cancelled', 'interrupted')),
    started_at timestamptz NOT NULL,
    completed_at timestamptz,
    worker text NOT NULL,
    run_attempt bigint NOT NULL,
    idempotency_key text,
    outputs json,
    error json
);
COMMENT ON TABLE attempts IS 'One row a try, committed before the outside effect: the intent.';
CREATE UNIQUE INDEX attempts_number ON attempts (step_id, coalesce(item_index, -1), number);

CREATE TABLE gates (
    step_id uuid PRIMARY KEY REFERENCES steps (step_id) ON DELETE CASCADE,
    run_id uuid NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    requested_at timestamptz NOT NULL,
    effect_digest text NOT NULL,
    effect json NOT NULL,
    approvals json NOT NULL,
    form json,
    expires_at timestamptz,
    on_timeout text NOT NULL CHECK (on_timeout IN ('reject', 'approve')),
    decision text CHECK (decision IN ('approved', 'rejected')),
    decided_at timestamptz,
    decided_because text
);
CREATE INDEX gates_waiting ON gates (requested_at) WHERE decision IS NULL;

CREATE TABLE approvals (
    approval_id uuid PRIMARY KEY,
    step_id uuid NOT NULL REFERENCES gates (step_id) ON DELETE CASCADE,
    principal text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    comment text,
    form json,
    effect_digest text NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (step_id, principal)
);

CREATE TABLE artifacts (
    artifact_id uuid PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL,
    content_type text NOT NULL,
    byte_length bigint,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    run_id uuid,
    step_id uuid,
    sha256 text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    metadata json NOT NULL DEFAULT '{}',
    record_commit text
);
CREATE INDEX artifacts_newest ON artifacts (created_at DESC, artifact_id DESC);
CREATE INDEX artifacts_by_run ON artifacts (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('run', 'event', 'artifact')),
    subject uuid NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE outbox IS 'What the committer still has to write to Git; written in the transaction of the change itself.';
