-- Appends.

-- Appends to several streams at once. `paths[n]` is the stream of the next `counts[n]` elements of the other arrays. A producer is
-- NULL or has an epoch and a sequence number; data are NULL or not empty.
--
-- Each append has a verdict of its own: 'stored', 'repeated', or why it is refused; with it come the end of the stream, whether it
-- is closed, and the state of the producer. No row comes back for an append to a stream that does not exist; without `wait` also
-- for one that another transaction has locked. Only an append to a single stream waits: who holds a lock and waits for another may
-- be in a deadlock, and holds up those who wait for the first.
CREATE FUNCTION streams.append_all(
    paths text[], counts integer[], content_types text[], data bytea[], closes boolean[],
    producers text[], epochs bigint[], seqs bigint[], stream_seqs text[], max_producers integer, wait boolean
) RETURNS TABLE (
    item integer, verdict text, stream bigint, incarnation bigint, tail bigint, closed boolean, epoch bigint, seq bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s streams.streams;
    p streams.producers;
    now timestamptz;
    is_changed boolean;
    last integer := 0;
BEGIN
    FOR n IN 1 .. cardinality(paths) LOOP
        last := last + counts[n];
        IF wait THEN
            SELECT t.* INTO s FROM streams.streams t WHERE t.path = paths[n] AND t.live FOR NO KEY UPDATE;
        ELSE
            SELECT t.* INTO s FROM streams.streams t WHERE t.path = paths[n] AND t.live FOR NO KEY UPDATE SKIP LOCKED;
        END IF;
        CONTINUE WHEN NOT FOUND;
        now := clock_timestamp();
        is_changed := false;
        FOR i IN last - counts[n] + 1 .. last LOOP
            p := NULL;
            IF producers[i] IS NOT NULL THEN
                SELECT o.* INTO p FROM streams.producers o WHERE o.stream = s.id AND o.producer = producers[i];
            END IF;
            item := i;
            epoch := p.epoch;
            seq := p.seq;
            verdict := CASE
                WHEN s.expires_at <= now THEN CASE WHEN streams.has_forks(s.id) THEN 'deleted' ELSE 'not_found' END
                WHEN epochs[i] = p.epoch AND seqs[i] <= p.seq THEN 'repeated'
                WHEN s.closed AND data[i] IS NULL AND producers[i] IS NULL THEN 'stored'
                WHEN s.closed THEN 'closed'
                WHEN data[i] IS NOT NULL AND streams.media_type(content_types[i]) <> streams.media_type(s.content_type)
                    THEN 'content_type'
                WHEN epochs[i] < p.epoch THEN 'stale_epoch'
                WHEN epochs[i] > p.epoch AND seqs[i] > 0 THEN 'epoch_start'
                WHEN seqs[i] > COALESCE(p.seq + 1, 0) THEN 'gap'
                WHEN producers[i] IS NOT NULL AND p.epoch IS NULL AND s.producers >= max_producers THEN 'too_many_producers'
                WHEN stream_seqs[i] <= s.seq THEN 'stream_seq'
                ELSE 'stored'
            END;
            IF verdict = 'stored' THEN
                is_changed := true;
                IF data[i] IS NOT NULL THEN
                    s.tail := s.tail + octet_length(data[i]);
                    INSERT INTO streams.records (stream, position, data) VALUES (s.id, s.tail, data[i]);
                END IF;
                IF producers[i] IS NOT NULL THEN
                    s.producers := s.producers + CASE WHEN p.epoch IS NULL THEN 1 ELSE 0 END;
                    epoch := epochs[i];
                    seq := seqs[i];
                    INSERT INTO streams.producers AS o (stream, producer, epoch, seq) VALUES (s.id, producers[i], epoch, seq)
                    ON CONFLICT (stream, producer) DO UPDATE SET epoch = EXCLUDED.epoch, seq = EXCLUDED.seq;
                END IF;
                s.closed := s.closed OR closes[i];
                s.seq := COALESCE(stream_seqs[i], s.seq);
            END IF;
            stream := s.id;
            tail := s.tail;
            closed := s.closed;
            incarnation := CASE WHEN s.tail > s.forked_at THEN s.id ELSE streams.incarnation(s, s.tail) END;
            RETURN NEXT;
        END LOOP;
        -- Renewed when a tenth of the time has passed, so that most appends change no index.
        IF s.expires_at > now AND s.expires_at < now + make_interval(secs => s.ttl * 0.9) THEN
            s.expires_at := now + make_interval(secs => s.ttl);
            is_changed := true;
        END IF;
        IF is_changed THEN
            UPDATE streams.streams t
            SET tail = s.tail, closed = s.closed, seq = s.seq, producers = s.producers, expires_at = s.expires_at
            WHERE t.id = s.id;
        END IF;
    END LOOP;
END
$$;

-- Wakes the readers of a stream in all processes when the transaction commits. Each has a name, so that it knows its messages; this
-- one has none.
CREATE FUNCTION streams.ring(stream bigint) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('streams', '- ' || stream)
$$;

-- The functions below are for SQL. They raise a verdict as the violation of a constraint, such as stream_not_found or
-- stream_closed. No path is in the message, because messages are logged.
CREATE FUNCTION streams.refuse(verdict text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a stream refuses: %', verdict
        USING ERRCODE = 'check_violation', SCHEMA = 'streams', CONSTRAINT = 'stream_' || verdict;
END
$$;

-- A position as the protocol has it.
CREATE FUNCTION streams.offset(incarnation bigint, at bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT lpad(incarnation::text, 16, '0') || '_' || lpad(at::text, 16, '0')
$$;

-- JSON as it is stored: an array is as many values.
CREATE FUNCTION streams.fragment(data json) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT convert_to(CASE json_typeof(data)
        WHEN 'array' THEN (SELECT COALESCE(string_agg(e.value::text, ',' ORDER BY e.n), '')
            FROM json_array_elements(data) WITH ORDINALITY e (value, n))
        ELSE btrim(data::text, E' \t\n\r')
    END, 'UTF8')
$$;

-- Whether a stream consists of JSON. NULL if there is none.
CREATE FUNCTION streams.is_json(path text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT streams.media_type(s.content_type) = 'application/json' FROM streams.streams s WHERE s.path = $1 AND s.live
$$;

-- Appends a record as it is stored, to a stream that consists of JSON or does not.
CREATE FUNCTION streams.append_record(path text, data bytea, is_json boolean, close boolean, ring boolean) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    done record;
BEGIN
    close := COALESCE(close, false);
    IF octet_length(data) = 0 OR (data IS NULL AND NOT close) THEN
        PERFORM streams.refuse('empty');
    END IF;
    SELECT a.* INTO done FROM streams.append_all(
        ARRAY[path], ARRAY[1], ARRAY[NULL], ARRAY[data], ARRAY[close], ARRAY[NULL], ARRAY[NULL]::bigint[], ARRAY[NULL]::bigint[],
        ARRAY[NULL], 0, true
    ) a;
    IF done.verdict IS DISTINCT FROM 'stored' THEN
        PERFORM streams.refuse(COALESCE(done.verdict, 'not_found'));
    END IF;
    -- Now that the stream is locked: it may be another one than that whose type decided the form of the record.
    IF data IS NOT NULL AND is_json IS DISTINCT FROM streams.is_json(path) THEN
        PERFORM streams.refuse('content_type');
    END IF;
    IF ring THEN
        PERFORM streams.ring(done.stream);
    END IF;
    RETURN streams.offset(done.incarnation, done.tail);
END
$$;

-- Appends JSON, in the transaction of the caller, and returns the offset of its end. The stream is locked until that transaction
-- ends. Wakes readers when it commits, unless `ring` is false: the server serialises the commits of transactions that do.
CREATE FUNCTION streams.append(path text, data json, close boolean DEFAULT false, ring boolean DEFAULT true) RETURNS text
LANGUAGE sql AS $$ SELECT streams.append_record(path, streams.fragment(data), true, close, ring) $$;

CREATE FUNCTION streams.append(path text, data jsonb, close boolean DEFAULT false, ring boolean DEFAULT true) RETURNS text
LANGUAGE sql AS $$ SELECT streams.append(path, data::json, close, ring) $$;

-- The same with text: JSON for a stream of JSON, and UTF-8 for others.
CREATE FUNCTION streams.append(path text, data text, close boolean DEFAULT false, ring boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF streams.is_json(path) THEN
        RETURN streams.append(path, data::json, close, ring);
    END IF;
    RETURN streams.append_record(path, convert_to(data, 'UTF8'), false, close, ring);
END
$$;

-- The same with bytes: those of JSON for a stream of JSON, and any for others.
CREATE FUNCTION streams.append(path text, data bytea, close boolean DEFAULT false, ring boolean DEFAULT true) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF streams.is_json(path) THEN
        RETURN streams.append(path, convert_from(data, 'UTF8')::json, close, ring);
    END IF;
    RETURN streams.append_record(path, data, false, close, ring);
END
$$;

-- Closes a stream, and returns the offset of its end.
CREATE FUNCTION streams.close(path text, ring boolean DEFAULT true) RETURNS text LANGUAGE sql AS $$
    SELECT streams.append(path, NULL::bytea, true, ring)
$$;

-- Refuses what a URL cannot have: see `StreamPath` of the function that serves streams.
CREATE FUNCTION streams.check_path(path text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF (octet_length(convert_to(path, 'UTF8')) BETWEEN 1 AND 1024
        AND path !~ '[\u0001-\u001F\u007F-\u009F]'
        AND '/' || path || '/' !~ '/\.{0,2}/'
        AND split_part(path, '/', 1) <> '__ds') IS NOT TRUE THEN
        PERFORM streams.refuse('path');
    END IF;
END
$$;

-- Refuses what a header cannot have.
CREATE FUNCTION streams.check_content_type(content_type text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF octet_length(content_type) > 256 OR content_type !~ '^[\t -~]*$'
        OR streams.media_type(content_type) !~ '^[!#$%&''*+.^_`|~0-9a-z-]+/[!#$%&''*+.^_`|~0-9a-z-]+$' THEN
        PERFORM streams.refuse('content_type');
    END IF;
END
$$;

-- Creates a stream, unless it is there, and returns the offset of its end.
CREATE FUNCTION streams.create(path text, content_type text DEFAULT 'application/json', ttl interval DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    done record;
BEGIN
    PERFORM streams.check_path(path);
    PERFORM streams.check_content_type(content_type);
    IF extract(epoch FROM ttl) NOT BETWEEN 0 AND 4294967295 THEN
        PERFORM streams.refuse('ttl');
    END IF;
    SELECT p.* INTO done
    FROM streams.put(path, content_type, extract(epoch FROM ttl)::bigint, NULL, false, NULL, NULL) p;
    IF done.verdict NOT IN ('new', 'existing') THEN
        PERFORM streams.refuse(done.verdict);
    END IF;
    RETURN streams.offset(streams.incarnation(done.stream, (done.stream).tail), (done.stream).tail);
END
$$;
