-- Appends.

-- Appends to several streams at once. `paths[n]` is the stream of the next `counts[n]` elements of the other arrays. A producer is
-- NULL or has an epoch and a sequence number; data are NULL or not empty, and `bodies[n]` says whether they are still to be made a
-- record.
--
-- Each append has a verdict of its own: 'stored', 'repeated', or why it is refused; with it come the end of the stream, whether it
-- is closed, and the state of the producer. No row comes back for an append to a stream that does not exist; without `wait` also
-- for one that another transaction has locked. Only an append to a single stream waits: who holds a lock and waits for another may
-- be in a deadlock, and holds up those who wait for the first.
CREATE FUNCTION streams.append_all(
    paths text[], counts integer[], content_types text[], data bytea[], bodies boolean[], closes boolean[],
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
    stored bytea;
    last integer := 0;
    locked record;
    place tid;
BEGIN
    FOR n IN 1 .. cardinality(paths) LOOP
        last := last + counts[n];
        IF NOT wait THEN
            SELECT t AS stream, t.ctid INTO locked FROM streams.streams t
            WHERE t.path = paths[n] AND t.live FOR NO KEY UPDATE SKIP LOCKED;
        ELSE
            -- Where this transaction has put the row when it appended last: by the path, it would pass by each version of the row that
            -- it has made before.
            place := substring(current_setting('streams.last_ctid', true) FROM '^\(\d{1,9},\d{1,4}\)$');
            SELECT t AS stream, t.ctid INTO locked FROM streams.streams t
            WHERE t.ctid = place AND t.path = paths[n] AND t.live FOR NO KEY UPDATE;
            IF NOT FOUND THEN
                SELECT t AS stream, t.ctid INTO locked FROM streams.streams t
                WHERE t.path = paths[n] AND t.live FOR NO KEY UPDATE;
            END IF;
        END IF;
        CONTINUE WHEN NOT FOUND;
        s := locked.stream;
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
                stored := CASE WHEN bodies[i] THEN streams.record_of(s.content_type, data[i]) ELSE data[i] END;
                verdict := CASE
                    WHEN octet_length(stored) = 0 THEN 'empty'
                    WHEN streams.too_large(stored) THEN 'too_large'
                    ELSE 'stored'
                END;
            END IF;
            IF verdict = 'stored' THEN
                is_changed := true;
                IF stored IS NOT NULL THEN
                    s.tail := s.tail + octet_length(stored);
                    INSERT INTO streams.records (stream, position, data) VALUES (s.id, s.tail, stored);
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
            WHERE t.ctid = locked.ctid RETURNING t.ctid INTO place;
            PERFORM set_config('streams.last_ctid', place::text, true) WHERE wait;
        END IF;
    END LOOP;
END
$$;

-- Wakes the readers of a stream in all processes when the transaction commits. Each has a name, so that it knows its messages; this
-- one has none.
CREATE FUNCTION streams.ring(stream bigint) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('streams', '- ' || stream)
$$;

-- A position as the protocol has it.
CREATE FUNCTION streams.offset(incarnation bigint, at bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT lpad(incarnation::text, 16, '0') || '_' || lpad(at::text, 16, '0')
$$;

-- Appends in the transaction of the caller, and returns the offset of the end.
CREATE FUNCTION streams.append_one(path text, content_type text, data bytea, close boolean, ring boolean) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    done record;
BEGIN
    close := COALESCE(close, false);
    IF octet_length(data) = 0 OR (data IS NULL AND NOT close) THEN
        PERFORM streams.refuse('empty');
    END IF;
    SELECT a.* INTO done FROM streams.append_all(
        ARRAY[path], ARRAY[1], ARRAY[content_type], ARRAY[data], ARRAY[true], ARRAY[close], ARRAY[NULL], ARRAY[NULL]::bigint[],
        ARRAY[NULL]::bigint[], ARRAY[NULL], 0, true
    ) a;
    IF done.verdict IS DISTINCT FROM 'stored' THEN
        PERFORM streams.refuse(COALESCE(done.verdict, 'not_found'));
    END IF;
    IF ring THEN
        PERFORM streams.ring(done.stream);
    END IF;
    RETURN streams.offset(done.incarnation, done.tail);
END
$$;

-- Appends bytes, in the transaction of the caller, and returns the offset of their end. In a stream of JSON they are JSON. The
-- stream is locked until that transaction ends. Wakes readers when it commits, unless `ring` is false: the server serialises the
-- commits of transactions that do.
CREATE FUNCTION streams.append(path text, data bytea, close boolean DEFAULT false, ring boolean DEFAULT true) RETURNS text
LANGUAGE sql AS $$ SELECT streams.append_one(path, NULL, data, close, ring) $$;

-- The same with text, as UTF-8.
CREATE FUNCTION streams.append(path text, data text, close boolean DEFAULT false, ring boolean DEFAULT true) RETURNS text
LANGUAGE sql AS $$ SELECT streams.append_one(path, NULL, convert_to(data, 'UTF8'), close, ring) $$;

-- The same with JSON, for a stream of JSON.
CREATE FUNCTION streams.append(path text, data json, close boolean DEFAULT false, ring boolean DEFAULT true) RETURNS text
LANGUAGE sql AS $$ SELECT streams.append_one(path, 'application/json', convert_to(data::text, 'UTF8'), close, ring) $$;

CREATE FUNCTION streams.append(path text, data jsonb, close boolean DEFAULT false, ring boolean DEFAULT true) RETURNS text
LANGUAGE sql AS $$ SELECT streams.append(path, data::json, close, ring) $$;

-- Closes a stream, and returns the offset of its end.
CREATE FUNCTION streams.close(path text, ring boolean DEFAULT true) RETURNS text LANGUAGE sql AS $$
    SELECT streams.append(path, NULL::bytea, true, ring)
$$;

-- Creates a stream, unless it is there, and returns the offset of its end.
CREATE FUNCTION streams.create(path text, content_type text DEFAULT 'application/json', ttl interval DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    done record;
BEGIN
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
