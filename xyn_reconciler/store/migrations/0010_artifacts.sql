-- Artifacts: how long they stay, that they are gone, whose bytes are here, and what is being put.

ALTER TABLE artifacts
    -- The class that whoever made it named; else its kind is its class.
    ADD COLUMN retention text,
    -- Since then its bytes are no longer kept, and the row tells that they were.
    ADD COLUMN deleted_at timestamptz,
    -- Whether its bytes are in this node's store: a clone lists what its origin has.
    ADD COLUMN here boolean NOT NULL DEFAULT true;

CREATE INDEX artifacts_by_content ON artifacts (sha256) WHERE sha256 IS NOT NULL;

-- Bytes that are in the store, or about to be, before a row names them. Whoever
-- is killed in between leaves a claim, which counts until the bytes are gone.
CREATE TABLE artifact_claims (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 text NOT NULL UNIQUE CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    byte_length bigint NOT NULL,
    claimed_at timestamptz NOT NULL
);
