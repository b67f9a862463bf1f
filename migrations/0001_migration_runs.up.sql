-- What each run of `migrate` did: the trail from a release to its schema.
CREATE TABLE migration_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL,
    duration_ms bigint NOT NULL,
    release text NOT NULL,
    version_before bigint NOT NULL,
    version_after bigint NOT NULL
);
