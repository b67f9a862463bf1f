-- What the job that sweeps does, in steps: each is a transaction, and leaves alone what another one is working on.

-- Deletes some of what has ended, and returns how many rows it was: less than `max_rows` when nothing is left. A stream goes after
-- its records, and after its forks.
CREATE FUNCTION streams.sweep(max_rows bigint) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now timestamptz := clock_timestamp();
    ended bigint[];
    s streams.streams;
    upto bigint;
    count bigint;
    swept bigint;
BEGIN
    -- The second condition is that of the index.
    ended := ARRAY(
        SELECT s.id FROM streams.streams s
        WHERE s.live AND s.expires_at <= now AND s.expires_at < 'infinity'
            AND NOT EXISTS (SELECT FROM streams.streams f WHERE f.forked_from = s.id AND f.live)
        LIMIT max_rows FOR UPDATE SKIP LOCKED
    );
    UPDATE streams.streams s SET live = false
    WHERE s.id = ANY (ended) AND s.expires_at <= clock_timestamp()
        AND NOT EXISTS (SELECT FROM streams.streams f WHERE f.forked_from = s.id AND f.live);
    GET DIAGNOSTICS swept = ROW_COUNT;
    FOR s IN SELECT t.* FROM streams.streams t WHERE NOT t.live ORDER BY t.id LIMIT max_rows FOR UPDATE SKIP LOCKED LOOP
        EXIT WHEN swept >= max_rows;
        SELECT max(r.position), count(*) INTO upto, count FROM (
            SELECT r.position FROM streams.records r
            WHERE r.stream = s.id AND r.position > s.first_kept ORDER BY r.position LIMIT max_rows - swept
        ) r;
        swept := swept + count;
        DELETE FROM streams.records r WHERE r.stream = s.id AND r.position > s.first_kept AND r.position <= upto;
        UPDATE streams.streams t SET first_kept = COALESCE(upto, t.first_kept) WHERE t.id = s.id;
        CONTINUE WHEN swept >= max_rows;
        DELETE FROM streams.producers p WHERE p.stream = s.id;
        DELETE FROM streams.streams t WHERE t.id = s.id;
        swept := swept + 1 + s.producers;
    END LOOP;
    RETURN swept;
END
$$;

-- Deletes the oldest records of streams whose path begins with `prefix`: those that are older than `max_age`, or before the last
-- `max_bytes`. Looks at `max_streams` streams after the stream `after`, and returns the last of them, or NULL when there are no more.
-- Streams that have forks keep their records.
CREATE FUNCTION streams.retain(
    prefix text, max_age interval, max_bytes bigint, INOUT after bigint, max_streams bigint, max_rows bigint, OUT deleted bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s streams.streams;
    upto bigint;
    count bigint;
    first bigint := after;
BEGIN
    deleted := 0;
    after := NULL;
    FOR s IN
        SELECT t.* FROM streams.streams t WHERE t.live AND t.path ^@ prefix AND t.id > first ORDER BY t.id LIMIT max_streams
    LOOP
        after := s.id;
        SELECT max(r.position), count(*) INTO upto, count FROM (
            SELECT r.position, r.appended_at FROM streams.records r
            WHERE r.stream = s.id AND r.position > s.first_kept ORDER BY r.position LIMIT max_rows - deleted
        ) r WHERE r.position <= s.tail - max_bytes OR r.appended_at < clock_timestamp() - max_age;
        CONTINUE WHEN count = 0;
        PERFORM FROM streams.streams t WHERE t.id = s.id AND t.live AND t.first_kept = s.first_kept FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND OR EXISTS (SELECT FROM streams.streams f WHERE f.forked_from = s.id AND f.live);
        DELETE FROM streams.records r WHERE r.stream = s.id AND r.position > s.first_kept AND r.position <= upto;
        UPDATE streams.streams t SET first_kept = upto WHERE t.id = s.id;
        deleted := deleted + count;
        IF deleted >= max_rows THEN
            -- There may be more in this stream.
            after := s.id - 1;
            EXIT;
        END IF;
    END LOOP;
END
$$;
