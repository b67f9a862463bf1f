-- The answers to requests with an Idempotency-Key, each stored in the transaction of its effect.
CREATE TABLE idempotency_keys (
    -- Whose key it is; '' where the caller is not known. Keys of different callers never meet.
    caller text NOT NULL,
    key text NOT NULL,
    -- SHA-256 of the request.
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The answer: NULL only inside of the transaction that is still working on it.
    status smallint,
    header_names text[],
    header_values bytea[],
    body bytea,
    PRIMARY KEY (caller, key)
);
-- For the job that deletes what has expired.
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
