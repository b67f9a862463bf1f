//! Wrong designs, as SQL that changes a test's database: each takes the place of one decision of the schema, and all else is what
//! runs in production. What the tests hold must not hold with them.

/// Each append is committed before the state of its producer, which is another transaction, as where a server does one thing after
/// the other. The first is a transaction in a session of its own; the second is that of the caller, and is rolled back if the
/// caller dies meanwhile, of which the server takes notice within a millisecond.
pub const PRODUCER_STATE_LATER: &str = r"
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET client_connection_check_interval = 1', current_database()); END $$;
    CREATE EXTENSION dblink;
    ALTER FUNCTION streams.append_all RENAME TO append_without_state;
    CREATE FUNCTION streams.skip_state() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RETURN CASE WHEN current_setting('application_name') <> 'first' THEN NEW END;
    END
    $$;
    CREATE TRIGGER skip_state BEFORE INSERT ON streams.producers FOR EACH ROW EXECUTE FUNCTION streams.skip_state();
    CREATE FUNCTION streams.append_all(
        paths text[], counts integer[], content_types text[], data bytea[], bodies boolean[], closes boolean[],
        producers text[], epochs bigint[], seqs bigint[], stream_seqs text[], max_producers integer, wait boolean
    ) RETURNS TABLE (
        item integer, verdict text, stream bigint, incarnation bigint, tail bigint, closed boolean, epoch bigint, seq bigint
    )
    LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
        session text := format(
            'application_name=first options=''-c client_connection_check_interval=0'' host=%s port=%s dbname=%s user=%s',
            current_setting('unix_socket_directories'), current_setting('port'), current_database(), current_user
        );
        appends text := format(
            'SELECT * FROM streams.append_without_state(%L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L)',
            paths, counts, content_types, data, bodies, closes, producers, epochs, seqs, stream_seqs, max_producers, wait
        );
    BEGIN
        FOR item, verdict, stream, incarnation, tail, closed, epoch, seq IN
            SELECT * FROM dblink(session, appends) a (
                item integer, verdict text, stream bigint, incarnation bigint, tail bigint, closed boolean, epoch bigint, seq bigint
            )
        LOOP
            IF verdict = 'stored' AND producers[item] IS NOT NULL THEN
                -- From one statement of a server to its next.
                PERFORM pg_sleep(0.002);
                INSERT INTO streams.producers AS o (stream, producer, epoch, seq) VALUES (stream, producers[item], epoch, seq)
                ON CONFLICT (stream, producer) DO UPDATE SET epoch = EXCLUDED.epoch, seq = EXCLUDED.seq;
            END IF;
            RETURN NEXT;
        END LOOP;
    END
    $$";

/// Positions are numbers of a sequence, drawn before the commit.
pub fn positions_of_a_sequence() -> String {
    "CREATE SEQUENCE streams.positions; ".to_owned() + &positions("nextval('streams.positions') * 16")
}

/// Positions are times: milliseconds, and within each a number, so that no two are the same.
pub fn positions_of_a_clock() -> String {
    let milliseconds = "(extract(epoch FROM clock_timestamp() - s.created_at) * 1000)::bigint";
    let within = "nextval('streams.positions') % 16";
    "CREATE SEQUENCE streams.positions; ".to_owned() + &positions(&format!("({milliseconds} * 16 + {within}) * 16"))
}

/// Appends take their positions without a lock, and the end of the stream is that of the last one that was committed. Records have
/// less than 16 bytes, and spaces after them up to their positions, because readers check that each byte is there.
fn positions(position: &str) -> String {
    let design = append_all_with(&[
        (" FOR NO KEY UPDATE SKIP LOCKED", ""),
        (" FOR NO KEY UPDATE", ""),
        ("s.tail + octet_length(stored)", position),
        ("INTO streams.records", "INTO streams.placed"),
        ("IF is_changed THEN", "IF s.closed THEN"),
    ]);
    format!(
        r"{design}
    ALTER TABLE streams.records RENAME TO placed;
    CREATE VIEW streams.records AS
    SELECT r.stream, r.position, r.appended_at, convert_to(rpad(
        convert_from(r.data, 'UTF8'),
        (r.position - lag(r.position, 1, 0::bigint) OVER (PARTITION BY r.stream ORDER BY r.position))::integer
    ), 'UTF8') AS data
    FROM streams.placed r;
    CREATE FUNCTION streams.raise_tail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE streams.streams s SET tail = GREATEST(s.tail, NEW.position) WHERE s.id = NEW.stream;
        RETURN NULL;
    END
    $$;
    CREATE CONSTRAINT TRIGGER raise_tail AFTER INSERT ON streams.placed DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION streams.raise_tail()"
    )
}

/// A stream is closed before its last data are there: the close is committed in a session of its own, and readers learn of it; the
/// data follow in the transaction of the caller.
pub fn closed_before_the_data() -> String {
    let design = append_all_with(&[
        (
            "last := last + counts[n];",
            "last := last + counts[n]; PERFORM streams.close_first(paths[n]) WHERE closes[last] AND data[last] IS NOT NULL;",
        ),
        ("WHEN s.closed THEN 'closed'", ""),
    ]);
    format!(
        r"{design}
    CREATE EXTENSION dblink;
    CREATE FUNCTION streams.close_first(path text) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        session text := format(
            'host=%s port=%s dbname=%s user=%s',
            current_setting('unix_socket_directories'), current_setting('port'), current_database(), current_user
        );
        close text := format(
            'UPDATE streams.streams SET closed = true WHERE path = %L AND live RETURNING streams.ring(id)::text', path
        );
    BEGIN
        PERFORM FROM dblink(session, close) r (rung text);
        -- From one statement of a server to its next, as long as it takes on a busy machine until a reader has been woken.
        PERFORM pg_sleep(1);
    END
    $$"
    )
}

/// SQL that replaces texts in `streams.append_all`. Each must be there.
fn append_all_with(changes: &[(&str, &str)]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let changes = changes
        .iter()
        .map(|(from, to)| format!("[{}, {}]", quoted(from), quoted(to)));
    let changes: Vec<String> = changes.collect();
    format!(
        r"
    DO $wrong$
    DECLARE
        design text := pg_get_functiondef('streams.append_all'::regproc);
        change text[];
    BEGIN
        FOREACH change SLICE 1 IN ARRAY ARRAY[{}] LOOP
            ASSERT strpos(design, change[1]) > 0, change[1];
            design := replace(design, change[1], change[2]);
        END LOOP;
        EXECUTE design;
    END
    $wrong$;",
        changes.join(", ")
    )
}
