-- What the job that sweeps does, in steps: each is a transaction.

-- Deletes some of what has ended, and returns how many rows it was: less than `max_rows` when nothing is left but what another
-- transaction has locked. A stream goes after its records, and after its forks.
CREATE FUNCTION streams.sweep(max_rows bigint) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now timestamptz := clock_timestamp();
    ended bigint[];
    parents bigint[];
    s streams.streams;
    upto bigint;
    count bigint;
    swept bigint := 0;
BEGIN
    -- The second condition is that of the index.
    ended := ARRAY(
        SELECT s.id FROM streams.streams s
        WHERE s.live AND s.expires_at <= now AND s.expires_at < 'infinity'
            AND NOT EXISTS (SELECT FROM streams.streams f WHERE f.forked_from = s.id AND f.live)
        LIMIT max_rows FOR UPDATE SKIP LOCKED
    );
    -- With their last forks go sources that have ended before, and the sources of these.
    LOOP
        WITH released AS (
            UPDATE streams.streams s SET live = false
            WHERE s.id = ANY (ended) AND s.expires_at <= clock_timestamp()
                AND NOT EXISTS (SELECT FROM streams.streams f WHERE f.forked_from = s.id AND f.live)
            RETURNING s.forked_from
        )
        SELECT count(*), array_agg(r.forked_from) INTO count, parents FROM released r;
        swept := swept + count;
        EXIT WHEN count = 0 OR swept >= max_rows;
        ended := ARRAY(
            SELECT s.id FROM streams.streams s WHERE s.id = ANY (parents) AND s.expires_at <= now FOR UPDATE SKIP LOCKED
        );
    END LOOP;
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
-- `max_bytes`. Looks at streams after the stream `after`, `max_streams` of them unless that takes seconds, and returns the last of
-- them, or NULL when there are no more. Streams keep their records that have forks, or that another transaction has locked for a
-- second.
CREATE FUNCTION streams.retain(
    prefix text, max_age interval, max_bytes bigint, INOUT after bigint, max_streams bigint, max_rows bigint, OUT deleted bigint
) LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE
    first bigint := after;
    s streams.streams;
    -- Its loop reads one at a time, and so none but those that go and the first that stays.
    records CURSOR FOR
        SELECT r.position, r.appended_at FROM streams.records r
        WHERE r.stream = s.id AND r.position > s.first_kept ORDER BY r.position;
    upto bigint;
    count bigint;
BEGIN
    deleted := 0;
    after := NULL;
    FOR s IN
        SELECT t.* FROM streams.streams t WHERE t.live AND t.path ^@ prefix AND t.id > first ORDER BY t.id LIMIT max_streams
    LOOP
        -- The caller commits, so that what was looked at is not looked at again.
        EXIT WHEN after IS NOT NULL AND clock_timestamp() > statement_timestamp() + interval '5 s';
        after := s.id;
        CONTINUE WHEN max_age IS NULL AND s.tail - s.first_kept <= max_bytes;
        count := 0;
        FOR r IN records LOOP
            EXIT WHEN (r.position <= s.tail - max_bytes OR r.appended_at < clock_timestamp() - max_age) IS NOT TRUE;
            upto := r.position;
            count := count + 1;
            EXIT WHEN deleted + count >= max_rows;
        END LOOP;
        CONTINUE WHEN count = 0 OR EXISTS (SELECT FROM streams.streams f WHERE f.forked_from = s.id AND f.live);
        -- A stream in use is always locked: wait in the queue of its appends, but not with the lock of another stream.
        IF deleted = 0 THEN
            BEGIN
                PERFORM FROM streams.streams t WHERE t.id = s.id FOR UPDATE;
            EXCEPTION WHEN lock_not_available THEN
                CONTINUE;
            END;
        ELSE
            PERFORM FROM streams.streams t WHERE t.id = s.id FOR UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                after := s.id - 1;
                EXIT;
            END IF;
        END IF;
        -- Meanwhile it may have ended, been forked, or lost these records to another run.
        EXIT WHEN NOT EXISTS (SELECT FROM streams.streams t WHERE t.id = s.id AND t.live AND t.first_kept = s.first_kept)
            OR EXISTS (SELECT FROM streams.streams f WHERE f.forked_from = s.id AND f.live);
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
