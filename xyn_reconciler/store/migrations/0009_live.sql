-- What steps say while they run: gone with the server, and with the claim that they run under.

CREATE UNLOGGED TABLE live_texts (
    attempt_id  uuid    PRIMARY KEY,
    run_id      uuid    NOT NULL,
    run_attempt bigint  NOT NULL,
    step_id     uuid    NOT NULL,
    item_index  bigint,
    number      bigint  NOT NULL,
    start       bigint  NOT NULL,
    text        text    NOT NULL
);

-- Written anew several times a second: not worth compressing.
ALTER TABLE live_texts ALTER COLUMN text SET STORAGE EXTERNAL;

CREATE INDEX live_texts_of_step ON live_texts (step_id);
