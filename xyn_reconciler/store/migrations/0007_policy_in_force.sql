-- What a policy kept from starting.

ALTER TABLE suppressions DROP CONSTRAINT suppressions_reason_check;
ALTER TABLE suppressions ADD CONSTRAINT suppressions_reason_check CHECK (reason IN ('dedupe', 'debounce', 'invalid', 'policy'));
