-- How streams begin and end.

-- A content type without its parameters. By the rules of ASCII: in Turkish, the small letter of I is another one.
CREATE FUNCTION streams.media_type(content_type text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT lower(btrim(split_part(content_type, ';', 1), E' \t') COLLATE "C")
$$;

-- Raises a verdict as the violation of a constraint, such as stream_not_found or
-- stream_closed. No path is in the message, because messages are logged.
CREATE FUNCTION streams.refuse(verdict text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a stream refuses: %', verdict
        USING ERRCODE = 'check_violation', SCHEMA = 'streams', CONSTRAINT = 'stream_' || verdict;
END
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

-- JSON as it is stored: an array is as many values.
CREATE FUNCTION streams.fragment(data json) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT convert_to(CASE json_typeof(data)
        WHEN 'array' THEN (SELECT COALESCE(string_agg(e.value::text, ',' ORDER BY e.n), '')
            FROM json_array_elements(data) WITH ORDINALITY e (value, n))
        ELSE btrim(data::text, E' \t\n\r')
    END, 'UTF8')
$$;

-- The record that a body becomes in a stream of this type.
CREATE FUNCTION streams.record_of(content_type text, body bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF streams.media_type(content_type) = 'application/json' THEN
        RETURN streams.fragment(convert_from(body, 'UTF8')::json);
    END IF;
    RETURN body;
END
$$;

-- Whether a record is too large for readers: an answer of the database has 32 MiB at most.
CREATE FUNCTION streams.too_large(record bytea) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT octet_length(record) > 16777216
$$;

-- Takes the path from an expired stream, and from its forks, unless one of these has not expired. Locks them all, because a
-- transaction may be about to renew one.
CREATE FUNCTION streams.release(stream bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    family bigint[];
    locked bigint[];
BEGIN
    LOOP
        WITH RECURSIVE forks AS (
            SELECT stream AS id
            UNION ALL
            SELECT f.id FROM forks JOIN streams.streams f ON f.forked_from = forks.id AND f.live
        )
        SELECT array_agg(forks.id ORDER BY forks.id) INTO family FROM forks;
        EXIT WHEN family = locked;
        PERFORM FROM streams.streams s WHERE s.id = ANY (family) ORDER BY s.id FOR UPDATE;
        locked := family;
    END LOOP;
    IF EXISTS (SELECT FROM streams.streams s WHERE s.id = ANY (family) AND s.expires_at > clock_timestamp()) THEN
        RETURN false;
    END IF;
    UPDATE streams.streams s SET live = false WHERE s.id = ANY (family);
    RETURN true;
END
$$;

-- What is about to be a fork, after a position of its source: (NULL, 0) is the oldest record, (NULL, NULL) the tail. The verdict
-- is 'new', or why it cannot be.
CREATE FUNCTION streams.draft(
    source_path text, content_type text, incarnation bigint, at bigint, OUT verdict text, OUT draft streams.streams
) LANGUAGE plpgsql AS $$
DECLARE
    source streams.streams;
BEGIN
    -- Locked against its deletion, which would not know of the fork.
    SELECT s.* INTO source FROM streams.streams s WHERE s.path = source_path AND s.live FOR KEY SHARE;
    at := CASE
        WHEN incarnation IS NULL AND at = 0 THEN source.first_kept ELSE COALESCE(at, source.tail)
    END;
    incarnation := COALESCE(incarnation, streams.incarnation(source, at));
    verdict := CASE
        WHEN source.id IS NULL THEN 'source_not_found'
        WHEN source.expires_at <= clock_timestamp() THEN
            CASE WHEN streams.has_forks(source.id) THEN 'source_deleted' ELSE 'source_not_found' END
        WHEN streams.media_type(content_type) <> streams.media_type(source.content_type) THEN 'content_type'
        ELSE streams.place(source, incarnation, at)
    END;
    IF verdict <> 'ok' THEN
        RETURN;
    END IF;
    -- A position within a record is not one that a reader was given. A fork of a fork of a fork finds an end, too.
    IF at > source.first_kept AND NOT EXISTS (
        SELECT FROM streams.records r
        WHERE r.stream = streams.incarnation(source, at) AND r.position = at
    ) THEN
        verdict := 'beyond';
    ELSIF cardinality(source.sources) >= 100 THEN
        verdict := 'too_deep';
    ELSE
        verdict := 'new';
    END IF;
    -- The first source stays even if nothing is inherited from it: its number is in the offset of the start.
    SELECT array_agg(u.source ORDER BY u.n), array_agg(LEAST(u.point, at) ORDER BY u.n)
    INTO draft.sources, draft.points
    FROM (
        SELECT g.source, g.point, g.n, lag(g.point) OVER (ORDER BY g.n) AS after
        FROM unnest(source.sources || source.id, source.points || source.tail) WITH ORDINALITY g (source, point, n)
    ) u WHERE u.n = 1 OR u.after < at;
    draft.content_type := source.content_type;
    draft.ttl := source.ttl;
    draft.expires_at := source.expires_at;
    draft.first_kept := source.first_kept;
    draft.forked_from := source.id;
    draft.forked_at := at;
END
$$;

-- Whether a stream is what `put` is asked for.
CREATE FUNCTION streams.matches(
    stream streams.streams, content_type text, ttl bigint, expires_at timestamptz, closed boolean,
    source_path text, incarnation bigint, at bigint, sub_offset bigint
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT COALESCE(streams.media_type(content_type) = streams.media_type(stream.content_type), true)
        AND closed = stream.closed
        AND sub_offset = stream.sub_offset
        AND source_path IS NOT DISTINCT FROM (SELECT s.path FROM streams.streams s WHERE s.id = stream.forked_from)
        AND CASE
            WHEN source_path IS NOT NULL AND ttl IS NULL AND expires_at IS NULL THEN stream.inherits_expiry
            ELSE NOT stream.inherits_expiry
                AND ttl IS NOT DISTINCT FROM stream.ttl
                AND (ttl IS NOT NULL OR COALESCE(expires_at, 'infinity') = stream.expires_at)
        END
        AND (
            at IS NULL
            -- Nothing that is left was inherited, be it that the oldest records were deleted since.
            OR (incarnation IS NULL AND stream.forked_at <= stream.first_kept)
            OR (incarnation = streams.incarnation(stream, at) AND at = stream.forked_at)
        )
$$;

-- Creates a stream with a first record, unless the same stream is there. The verdict is 'new', 'existing', or why it is neither.
-- A fork has a part of the source's next record as its `prefix`. With `is_body`, `data` are still to be made a record.
CREATE FUNCTION streams.put(
    path text, content_type text, ttl bigint, expires_at timestamptz, closed boolean, data bytea, max_streams bigint,
    source_path text DEFAULT NULL, at_incarnation bigint DEFAULT NULL, at_position bigint DEFAULT NULL,
    sub_offset bigint DEFAULT 0, prefix bytea DEFAULT NULL, is_body boolean DEFAULT false,
    OUT verdict text, OUT stream streams.streams
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    fork record;
    draft streams.streams;
    stored bytea;
BEGIN
    IF source_path IS NULL THEN
        content_type := COALESCE(content_type, 'application/octet-stream');
    END IF;
    PERFORM streams.check_path(path), streams.check_content_type(content_type);
    LOOP
        SELECT s.* INTO stream FROM streams.streams s WHERE s.path = put.path AND s.live;
        verdict := CASE
            WHEN stream.id IS NULL THEN 'new'
            WHEN stream.expires_at > clock_timestamp() THEN
                CASE WHEN streams.matches(
                    stream, content_type, ttl, expires_at, closed, source_path, at_incarnation, at_position, sub_offset
                ) THEN 'existing' ELSE 'differs' END
            WHEN streams.release(stream.id) THEN 'new'
            ELSE 'deleted'
        END;
        IF verdict = 'new' AND source_path IS NOT NULL THEN
            SELECT d.* INTO fork FROM streams.draft(source_path, content_type, at_incarnation, at_position) d;
            draft := fork.draft;
            verdict := CASE WHEN fork.verdict = 'new' AND sub_offset > 0 AND prefix IS NULL THEN 'beyond' ELSE fork.verdict END;
        END IF;
        IF verdict = 'new' THEN
            draft.content_type := COALESCE(content_type, draft.content_type);
            stored := CASE WHEN is_body THEN streams.record_of(draft.content_type, data) ELSE data END;
            verdict := CASE WHEN streams.too_large(stored) THEN 'too_large' ELSE 'new' END;
        END IF;
        IF verdict <> 'new' THEN
            RETURN;
        END IF;
        draft.inherits_expiry := source_path IS NOT NULL AND ttl IS NULL AND expires_at IS NULL;
        IF NOT draft.inherits_expiry THEN
            draft.ttl := put.ttl;
            draft.expires_at := COALESCE(put.expires_at, 'infinity');
        END IF;
        INSERT INTO streams.streams AS s (
            path, content_type, tail, first_kept, closed, ttl, expires_at, inherits_expiry,
            forked_from, forked_at, sub_offset, sources, points
        ) VALUES (
            put.path, draft.content_type, COALESCE(draft.forked_at, 0),
            COALESCE(draft.first_kept, 0), put.closed, draft.ttl,
            COALESCE(clock_timestamp() + make_interval(secs => draft.ttl), draft.expires_at), draft.inherits_expiry,
            draft.forked_from, COALESCE(draft.forked_at, 0), put.sub_offset,
            COALESCE(draft.sources, '{}'), COALESCE(draft.points, '{}')
        ) ON CONFLICT (path) WHERE live DO NOTHING RETURNING s.* INTO stream;
        EXIT WHEN FOUND;
    END LOOP;
    IF max_streams IS NOT NULL THEN
        -- Whoever counts, counts what the others have created. Taken last: who waits for a path holds up nobody else, and who has
        -- this waits for nobody.
        PERFORM pg_advisory_xact_lock(hashtextextended('streams.put', 0));
        -- What has ended is counted only where this is decisive: the other count needs an index alone.
        IF EXISTS (SELECT FROM streams.streams s WHERE s.live OFFSET max_streams)
            AND EXISTS (
                SELECT FROM streams.streams s
                WHERE s.live AND s.id <> stream.id AND (s.expires_at > clock_timestamp() OR streams.has_forks(s.id))
                OFFSET max_streams - 1
            ) THEN
            DELETE FROM streams.streams s WHERE s.id = stream.id;
            verdict := 'too_many_streams';
            RETURN;
        END IF;
    END IF;
    FOREACH stored IN ARRAY ARRAY[prefix, NULLIF(stored, '')] LOOP
        CONTINUE WHEN stored IS NULL;
        stream.tail := stream.tail + octet_length(stored);
        INSERT INTO streams.records (stream, position, data) VALUES (stream.id, stream.tail, stored);
    END LOOP;
    UPDATE streams.streams s SET tail = stream.tail WHERE s.id = stream.id AND s.tail <> stream.tail;
END
$$;

-- Deletes a stream: 'ok', 'not_found' or 'deleted'. One with forks keeps its path.
CREATE FUNCTION streams.delete(path text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stream streams.streams;
BEGIN
    SELECT s.* INTO stream FROM streams.streams s WHERE s.path = delete.path AND s.live FOR UPDATE;
    IF stream.expires_at > clock_timestamp() THEN
        UPDATE streams.streams s SET expires_at = '-infinity' WHERE s.id = stream.id;
        -- Without forks that could be in use: these may be locked for long.
        PERFORM streams.release(stream.id) WHERE NOT streams.has_forks(stream.id);
        RETURN 'ok';
    END IF;
    RETURN CASE WHEN streams.has_forks(stream.id) THEN 'deleted' ELSE 'not_found' END;
END
$$;
