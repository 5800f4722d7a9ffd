-- What packs keep on a node: steps that ran in their own schemas, mirror tables, apps brought up.

CREATE TABLE pack_migrations (
    pack_id text NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    name text NOT NULL,
    digest text NOT NULL,
    applied_by text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pack_id, number)
);
COMMENT ON TABLE pack_migrations IS 'Steps of packs that ran; written in the transaction of the step, by the role of its pack.';
-- A pack's role may say what it did itself, and neither read nor change what others did.
ALTER TABLE pack_migrations ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_steps ON pack_migrations FOR INSERT WITH CHECK (applied_by = session_user);

CREATE TABLE pack_tables (
    pack_id text NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    pack_version text NOT NULL,
    columns json NOT NULL,
    key json NOT NULL,
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (pack_id, name)
);
COMMENT ON TABLE pack_tables IS 'Mirror tables of packs as they were made: column to type, and the key.';

CREATE TABLE managed_apps (
    pack_id text PRIMARY KEY,
    project text NOT NULL UNIQUE,
    wanted text NOT NULL,
    status text NOT NULL CHECK (status IN ('up', 'failing')),
    reason text NOT NULL,
    message text NOT NULL,
    services json NOT NULL,
    failures bigint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    next_try_at timestamptz,
    since timestamptz NOT NULL
);
COMMENT ON TABLE managed_apps IS 'Compose projects that this node brought up: only these does it ever take down.';
