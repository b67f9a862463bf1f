-- Durable streams: logs at paths, which any number of processes append to and read.
CREATE SCHEMA streams;

CREATE TABLE streams.streams (
    -- The incarnation. A path that is created again gets a greater one, and a fork has a greater one than its source.
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path text COLLATE "C" NOT NULL,
    -- Whether the path is taken by this stream. One that has lost its path is waiting for its deletion.
    live boolean NOT NULL DEFAULT true,
    content_type text NOT NULL,
    -- The bytes of all records, inherited ones included: where the newest one ends. An append raises this counter under the
    -- lock of the row, which it holds until it commits, so that the order of positions is the order of commits.
    tail bigint NOT NULL DEFAULT 0,
    -- Records up to here were deleted.
    first_kept bigint NOT NULL DEFAULT 0,
    closed boolean NOT NULL DEFAULT false,
    -- Seconds without reads and writes after which the stream expires.
    ttl bigint,
    -- A deleted stream has expired.
    expires_at timestamptz NOT NULL DEFAULT 'infinity',
    inherits_expiry boolean NOT NULL DEFAULT false,
    -- The last Stream-Seq.
    seq text COLLATE "C",
    producers integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What the stream is a fork of, and from which position on it has records of its own.
    forked_from bigint,
    forked_at bigint NOT NULL DEFAULT 0,
    sub_offset bigint NOT NULL DEFAULT 0,
    -- The streams that hold the inherited records, in the order of reading, and the position up to which each does.
    sources bigint[] NOT NULL DEFAULT '{}',
    points bigint[] NOT NULL DEFAULT '{}'
    -- Half of each page is left for new versions of its rows: an append changes no index.
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX streams_path ON streams.streams (path) WHERE live;
CREATE INDEX streams_forked_from ON streams.streams (forked_from) WHERE live AND forked_from IS NOT NULL;
CREATE INDEX streams_expires_at ON streams.streams (expires_at) WHERE live AND expires_at < 'infinity';
CREATE INDEX streams_released ON streams.streams (id) WHERE NOT live;

-- One row an append. There is no foreign key: the functions below are the only writers, and its check would lock the stream
-- again for each record.
CREATE TABLE streams.records (
    stream bigint NOT NULL,
    -- Where the record ends.
    position bigint NOT NULL,
    appended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- For JSON the elements as they are sent, with commas between them, so that a page is a join.
    data bytea NOT NULL,
    PRIMARY KEY (stream, position)
    -- Records of up to a page are stored in line, so that a read finds them in order.
) WITH (toast_tuple_target = 8160);
-- Not compressed: most records are small, and the length of one that is not must be known without reading it.
ALTER TABLE streams.records ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE streams.producers (
    stream bigint NOT NULL,
    producer text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (stream, producer)
) WITH (fillfactor = 80);

-- Whether forks that have not expired are read through this stream.
CREATE FUNCTION streams.has_forks(source bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH RECURSIVE forks AS (
        SELECT f.id, f.expires_at FROM streams.streams f WHERE f.forked_from = source AND f.live
        UNION ALL
        SELECT f.id, f.expires_at FROM forks JOIN streams.streams f ON f.forked_from = forks.id AND f.live
    )
    SELECT EXISTS (SELECT FROM forks WHERE forks.expires_at > clock_timestamp())
$$;

-- The stream that holds the record which ends at a position. A single expression, so that the server need not plan it each time.
CREATE FUNCTION streams.incarnation(stream streams.streams, at bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT COALESCE(stream.sources[width_bucket(GREATEST(at, 0) - 1, stream.points) + 1], stream.id)
$$;

-- A stream, and whether it can be read: 'ok', 'not_found' or 'deleted'.
CREATE FUNCTION streams.head(path text, OUT verdict text, OUT stream streams.streams) LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT s.* INTO stream FROM streams.streams s WHERE s.path = head.path AND s.live;
    verdict := CASE
        WHEN stream.expires_at > clock_timestamp() THEN 'ok'
        WHEN streams.has_forks(stream.id) THEN 'deleted'
        ELSE 'not_found'
    END;
END
$$;

-- What a reader sees of a stream: one row. The time is in microseconds since 1970, and NULL unless it was set. A table, because
-- only such a function is planned with the query that calls it.
CREATE FUNCTION streams.facts(stream streams.streams) RETURNS TABLE (
    incarnation bigint, tail_incarnation bigint, tail bigint, content_type text, closed boolean, ttl bigint, expires_at bigint
) LANGUAGE sql STABLE AS $$
    SELECT
        stream.id, streams.incarnation(stream, stream.tail), stream.tail, stream.content_type, stream.closed, stream.ttl,
        CASE WHEN stream.ttl IS NULL AND isfinite(stream.expires_at)
            THEN (extract(epoch FROM stream.expires_at) * 1000000)::bigint END
$$;

-- Whether a position is one of the stream: 'ok', 'gone' or 'beyond'.
CREATE FUNCTION streams.place(stream streams.streams, incarnation bigint, at bigint) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN at > CASE
            WHEN incarnation = ANY (stream.sources) THEN stream.points[array_position(stream.sources, incarnation)]
            WHEN incarnation >= stream.id THEN stream.tail
        END OR incarnation > stream.id OR at < 0 THEN 'beyond'
        WHEN incarnation = ANY (stream.id || stream.sources) AND at >= stream.first_kept THEN 'ok'
        ELSE 'gone'
    END
$$;

-- Where the records of a page are, and the stream in the same snapshot: those of each of `sources` after the position in `afters`
-- and up to that in `uptos`. `start` is 'first', 'at' or 'tail'. They are as many as fit in `max_bytes`, but at least one if there is
-- one, and 16,384 if all are as small as the first. The caller reads them in the same statement: passed through variables, each byte
-- would be copied five times. Each piece is a row of its answer: one row for all would be made whole before its first byte is sent,
-- in memory that is new each time.
CREATE FUNCTION streams.page(
    path text, start text, at_incarnation bigint, at_position bigint, max_bytes bigint,
    OUT verdict text, OUT stream streams.streams, OUT begins_at bigint,
    OUT sources bigint[], OUT afters bigint[], OUT uptos bigint[]
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    piece CONSTANT bigint := 65536;
    head record;
    source bigint;
    upto bigint;
    next bigint;
    first bigint;
BEGIN
    SELECT h.* INTO head FROM streams.head(path) h;
    stream := head.stream;
    verdict := CASE WHEN head.verdict = 'ok' AND start = 'at'
        THEN streams.place(stream, at_incarnation, at_position) ELSE head.verdict END;
    IF verdict <> 'ok' THEN
        RETURN;
    END IF;
    begins_at := CASE start WHEN 'first' THEN stream.first_kept WHEN 'tail' THEN stream.tail ELSE at_position END;
    next := begins_at;
    FOR i IN 1 .. cardinality(stream.sources) + 1 LOOP
        source := COALESCE(stream.sources[i], stream.id);
        upto := COALESCE(stream.points[i], stream.tail);
        CONTINUE WHEN upto <= next;
        IF next = begins_at THEN
            SELECT min(r.position) - next INTO first FROM streams.records r WHERE r.stream = source AND r.position > next;
            max_bytes := GREATEST(first, LEAST(max_bytes, 16384 * first));
        END IF;
        upto := begins_at + LEAST(upto - begins_at, max_bytes);
        WHILE next < upto LOOP
            sources := sources || source;
            afters := afters || next;
            next := LEAST(next + piece, upto);
            uptos := uptos || next;
        END LOOP;
        EXIT WHEN next - begins_at = max_bytes;
    END LOOP;
END
$$;
