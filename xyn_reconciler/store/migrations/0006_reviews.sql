-- Drafts under review, what people and policies decided, and the audit that all of it is made anew from.

CREATE TABLE audit (
    audit_id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    subject text,
    entry json NOT NULL,
    record_commit text
);
COMMENT ON TABLE audit IS 'Privileged decisions and moves of refs; the truth is the chain on refs/xyn/audit/<node>.';
CREATE INDEX audit_by_subject ON audit (subject, at);
CREATE INDEX audit_by_time ON audit (at, audit_id);

CREATE TABLE reviews (
    draft_id uuid PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('blueprint', 'pack')),
    status text NOT NULL CHECK (status IN ('draft', 'validated', 'promoted')),
    head text NOT NULL,
    iteration bigint NOT NULL,
    author text NOT NULL,
    run_id uuid,
    notes text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    promoted_commit text,
    closed_at timestamptz
);
COMMENT ON COLUMN reviews.draft_id IS 'Made of the draft''s name and of how many reviews of that name were closed before.';
COMMENT ON COLUMN reviews.run_id IS 'The run that made the draft, if one did.';
COMMENT ON COLUMN reviews.closed_at IS 'When it was promoted, or its branch was deleted.';
CREATE UNIQUE INDEX reviews_open ON reviews (name) WHERE closed_at IS NULL;
CREATE INDEX reviews_by_time ON reviews (created_at, draft_id);

CREATE TABLE review_iterations (
    draft_id uuid NOT NULL REFERENCES reviews ON DELETE CASCADE,
    iteration bigint NOT NULL,
    head text NOT NULL,
    author text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (draft_id, iteration)
);

CREATE TABLE review_checks (
    draft_id uuid NOT NULL REFERENCES reviews ON DELETE CASCADE,
    iteration bigint NOT NULL,
    name text NOT NULL,
    status text NOT NULL CHECK (status IN ('running', 'passed', 'failed', 'skipped', 'interrupted')),
    summary text,
    report json,
    artifact_id uuid,
    main text NOT NULL,
    started_at timestamptz NOT NULL,
    completed_at timestamptz,
    PRIMARY KEY (draft_id, iteration, name)
);
COMMENT ON COLUMN review_checks.main IS 'The commit of main that the draft was merged with to be checked.';

CREATE TABLE review_comments (
    comment_id uuid PRIMARY KEY,
    draft_id uuid NOT NULL REFERENCES reviews ON DELETE CASCADE,
    iteration bigint NOT NULL,
    path text,
    line bigint,
    author text NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX review_comments_by_draft ON review_comments (draft_id, created_at);

CREATE TABLE review_decisions (
    decision_id uuid PRIMARY KEY,
    draft_id uuid NOT NULL REFERENCES reviews ON DELETE CASCADE,
    iteration bigint NOT NULL,
    effect_digest text NOT NULL,
    principal text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    comment text,
    created_at timestamptz NOT NULL,
    used_by text
);
COMMENT ON COLUMN review_decisions.effect_digest IS 'Of what promotion would change: it dies when that changes, and survives unrelated merges.';
COMMENT ON COLUMN review_decisions.used_by IS 'The promotion that it allowed: it allows no second one.';
CREATE INDEX review_decisions_by_draft ON review_decisions (draft_id, created_at);

CREATE TABLE grants (
    grant_id uuid PRIMARY KEY,
    principal text NOT NULL,
    role text NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    signed_off_by text,
    signed_off_at timestamptz
);
COMMENT ON TABLE grants IS 'Break-glass: a role for a quarter of an hour, until a second person has signed it off.';

ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check CHECK (kind IN ('run', 'event', 'artifact', 'audit'));
