-- The event log. One application, one log with dense positions in commit order.

-- The time of this schema. Test databases replace it.
CREATE FUNCTION tracking.now_() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() $$;

-- The lowest version-7 UUID of a moment: where a partition of events begins.
CREATE FUNCTION tracking.first_id(at timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

-- Where each log ends. The row's lock is what makes commit order the order of positions: whoever appends takes it last and holds it until the commit.
CREATE TABLE tracking.head (
    -- Position of the newest event; 0 when there was none yet.
    position bigint NOT NULL DEFAULT 0,
    -- Position of the oldest event that is still kept.
    earliest bigint NOT NULL DEFAULT 1,
    -- When the newest event was recorded.
    recorded_at timestamptz NOT NULL DEFAULT '-infinity',
    application_id uuid PRIMARY KEY
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0.05);

-- What happened. A child's id has its parent's time bits, so parent and children lie side by side in one partition and are found by the primary key alone.
CREATE TABLE tracking.event (
    -- Where the log ended just before this event was appended: its own position is one of the next few.
    log_after bigint NOT NULL,
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    origin_event_id uuid,
    -- Sealed outeract.tracking.v1.Event without the columns of this row.
    body bytea NOT NULL
) PARTITION BY RANGE (id);

-- Sealed bytes do not compress.
ALTER TABLE tracking.event ALTER COLUMN body SET STORAGE EXTERNAL;

-- Catches ids of days that have no partition. Rows in here raise an alarm.
CREATE TABLE tracking.event_default PARTITION OF tracking.event DEFAULT;

-- The order of an application's events, narrow enough to be filtered without touching them.
CREATE TABLE tracking.log (
    position bigint NOT NULL,
    -- Never falls while the position rises.
    recorded_at timestamptz NOT NULL,
    application_id uuid NOT NULL,
    event_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    -- Bytes of the event's body.
    size integer NOT NULL,
    event_type smallint NOT NULL,
    -- The contact that the event names. Null: none, as for statuses.
    contact_id uuid,
    PRIMARY KEY (application_id, position)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- The events of one contact, in order. Contacts' ids are unique over all applications.
CREATE INDEX log_contact ON tracking.log (contact_id, position) WHERE contact_id IS NOT NULL;

-- Contacts that became part of others.
CREATE TABLE tracking.merged_contact (
    application_id uuid NOT NULL,
    source_id uuid NOT NULL,
    target_id uuid NOT NULL,
    PRIMARY KEY (application_id, source_id)
);

CREATE INDEX merged_contact_target ON tracking.merged_contact (application_id, target_id);

-- Names of event types. Those below 1000 are known to the code.
CREATE TABLE tracking.event_type (
    id smallint PRIMARY KEY,
    name text NOT NULL UNIQUE
);

INSERT INTO tracking.event_type (id, name) VALUES
    (1, 'message.inbound'),
    (2, 'message.outbound'),
    (3, 'message.accepted'),
    (4, 'message.sent'),
    (5, 'message.delivered'),
    (6, 'message.read'),
    (7, 'message.played'),
    (8, 'message.failed'),
    (9, 'message.unknown'),
    (10, 'message.duplicate');

-- Names that readers go by, and how far each has come.
CREATE TABLE tracking.consumer (
    -- Everything up to this position is acknowledged.
    position bigint NOT NULL,
    -- Counts the streams opened under the name; only the latest may acknowledge.
    epoch bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    application_id uuid NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (application_id, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- The last position recorded before a moment; one before the oldest kept when there is none. Times never fall along a log, so this is a binary search.
CREATE FUNCTION tracking.position_before(application uuid, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    below bigint;
    above bigint;
    middle bigint;
    recorded timestamptz;
BEGIN
    SELECT h.earliest - 1, h.position + 1 INTO below, above FROM tracking.head h WHERE h.application_id = application;
    WHILE above - below > 1 LOOP
        middle := below + (above - below) / 2;
        SELECT l.recorded_at INTO recorded FROM tracking.log l WHERE l.application_id = application AND l.position = middle;
        -- A missing row was older than everything that is kept.
        IF recorded IS NULL OR recorded < at THEN
            below := middle;
        ELSE
            above := middle;
        END IF;
    END LOOP;
    RETURN coalesce(below, 0);
END $$;

-- Events of a log between two positions, both left out, in either direction, with the ends of the log in the same snapshot; one row without an event when there is none.
-- At most `most_positions` are looked at, at most `most_events` found (`matched` of them), and no further event is given once those before it have `most_bytes`; a body is
-- touched only then, by the primary key of its own partition; `event_type` is named where there is none any more. `names` and `prefixes` of event types go together; null means every type.
--
-- A function, for its plan must depend neither on the values nor on statistics: planning would cost more than reading, and a partition that was empty when the plan was made,
-- as every partition is before its day, would look cheaper to scan than to search.
CREATE FUNCTION tracking.read(
    application uuid, after bigint, before bigint, descending boolean, connections uuid[], names text[], prefixes text[],
    most_events bigint, most_bytes bigint, most_positions bigint
)
    RETURNS TABLE (
        head bigint, earliest bigint, matched bigint, "position" bigint, recorded_at timestamptz, event_type text,
        event_id uuid, connection_id uuid, origin_event_id uuid, body bytea
    )
    LANGUAGE plpgsql STABLE ROWS 100
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    IF descending THEN
        RETURN QUERY
        SELECT h.position, h.earliest, n.matched, n.position, n.recorded_at,
            CASE WHEN e.body IS NULL THEN (SELECT t.name FROM tracking.event_type t WHERE t.id = n.event_type) END,
            n.event_id, n.connection_id, e.origin_event_id, e.body
        FROM tracking.head h
        LEFT JOIN LATERAL (
            SELECT m.position, m.recorded_at, m.event_id, m.connection_id, m.event_type, count(*) OVER () AS matched,
                sum(m.size) OVER (ORDER BY m.position DESC ROWS UNBOUNDED PRECEDING) - m.size AS bytes_before
            FROM (
                SELECT l.position, l.recorded_at, l.event_id, l.connection_id, l.size, l.event_type
                FROM tracking.log l
                WHERE l.application_id = h.application_id
                    AND l.position > after AND l.position < least(before, h.position + 1)
                    AND l.position >= least(before, h.position + 1) - most_positions
                    AND (connections IS NULL OR l.connection_id = ANY (connections))
                    AND (names IS NULL OR l.event_type IN (
                        SELECT t.id FROM tracking.event_type t
                        WHERE t.name = ANY (names) OR EXISTS (SELECT FROM unnest(prefixes) AS p (prefix) WHERE starts_with(t.name, p.prefix))
                    ))
                ORDER BY l.position DESC
                LIMIT most_events
            ) m
        ) n ON n.bytes_before < most_bytes
        LEFT JOIN LATERAL (SELECT e.origin_event_id, e.body FROM tracking.event e WHERE e.id = n.event_id LIMIT 1) e ON true
        WHERE h.application_id = application
        ORDER BY n.position DESC;
    ELSE
        RETURN QUERY
        SELECT h.position, h.earliest, n.matched, n.position, n.recorded_at,
            CASE WHEN e.body IS NULL THEN (SELECT t.name FROM tracking.event_type t WHERE t.id = n.event_type) END,
            n.event_id, n.connection_id, e.origin_event_id, e.body
        FROM tracking.head h
        LEFT JOIN LATERAL (
            SELECT m.position, m.recorded_at, m.event_id, m.connection_id, m.event_type, count(*) OVER () AS matched,
                sum(m.size) OVER (ORDER BY m.position ROWS UNBOUNDED PRECEDING) - m.size AS bytes_before
            FROM (
                SELECT l.position, l.recorded_at, l.event_id, l.connection_id, l.size, l.event_type
                FROM tracking.log l
                WHERE l.application_id = h.application_id
                    AND l.position > greatest(after, h.earliest - 1) AND l.position < before
                    AND l.position <= greatest(after, h.earliest - 1) + most_positions
                    AND (connections IS NULL OR l.connection_id = ANY (connections))
                    AND (names IS NULL OR l.event_type IN (
                        SELECT t.id FROM tracking.event_type t
                        WHERE t.name = ANY (names) OR EXISTS (SELECT FROM unnest(prefixes) AS p (prefix) WHERE starts_with(t.name, p.prefix))
                    ))
                ORDER BY l.position
                LIMIT most_events
            ) m
        ) n ON n.bytes_before < most_bytes
        LEFT JOIN LATERAL (SELECT e.origin_event_id, e.body FROM tracking.event e WHERE e.id = n.event_id LIMIT 1) e ON true
        WHERE h.application_id = application
        ORDER BY n.position;
    END IF;
END $$;

-- A contact with all that are one with it by merges, at most 64; itself alone when there was none.
CREATE FUNCTION tracking.one_contact(application uuid, contact uuid) RETURNS uuid[]
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE up (id) AS (
        SELECT contact
        UNION
        SELECT m.target_id FROM up JOIN tracking.merged_contact m ON m.application_id = application AND m.source_id = up.id
    ), down (id) AS (
        SELECT id FROM up
        UNION
        SELECT m.source_id FROM down JOIN tracking.merged_contact m ON m.application_id = application AND m.target_id = down.id
    )
    SELECT array(SELECT id FROM down LIMIT 64)
    $$;

-- As tracking.read, but only events that name one of `contacts`, found by the index on them. At most `most_positions` of their events are looked at; `looked_to` is the
-- position of the last of them when there may be more, else null: the range was looked at to its end.
CREATE FUNCTION tracking.read_contacts(
    application uuid, after bigint, before bigint, descending boolean, contacts uuid[], connections uuid[], names text[], prefixes text[],
    most_events bigint, most_bytes bigint, most_positions bigint
)
    RETURNS TABLE (
        head bigint, earliest bigint, matched bigint, looked_to bigint, "position" bigint, recorded_at timestamptz, event_type text,
        event_id uuid, connection_id uuid, origin_event_id uuid, body bytea
    )
    LANGUAGE plpgsql STABLE ROWS 100
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    IF descending THEN
        RETURN QUERY
        WITH looked AS MATERIALIZED (
            SELECT l.position, l.recorded_at, l.event_id, l.connection_id, l.size, l.event_type
            FROM tracking.head h
            CROSS JOIN unnest(contacts) AS c (id)
            CROSS JOIN LATERAL (
                SELECT l.position, l.recorded_at, l.event_id, l.connection_id, l.size, l.event_type
                FROM tracking.log l
                -- Not by the primary key, which would lead through everybody's events.
                WHERE l.contact_id = c.id AND NOT l.application_id IS DISTINCT FROM h.application_id
                    AND l.position > after AND l.position < least(before, h.position + 1)
                ORDER BY l.position DESC
                LIMIT most_positions
            ) l
            WHERE h.application_id = application
            ORDER BY l.position DESC
            LIMIT most_positions
        )
        SELECT h.position, h.earliest, n.matched,
            CASE WHEN (SELECT count(*) FROM looked) >= most_positions THEN (SELECT min(k.position) FROM looked k) END,
            n.position, n.recorded_at,
            CASE WHEN e.body IS NULL THEN (SELECT t.name FROM tracking.event_type t WHERE t.id = n.event_type) END,
            n.event_id, n.connection_id, e.origin_event_id, e.body
        FROM tracking.head h
        LEFT JOIN LATERAL (
            SELECT m.position, m.recorded_at, m.event_id, m.connection_id, m.event_type, count(*) OVER () AS matched,
                sum(m.size) OVER (ORDER BY m.position DESC ROWS UNBOUNDED PRECEDING) - m.size AS bytes_before
            FROM (
                SELECT l.position, l.recorded_at, l.event_id, l.connection_id, l.size, l.event_type
                FROM looked l
                WHERE (connections IS NULL OR l.connection_id = ANY (connections))
                    AND (names IS NULL OR l.event_type IN (
                        SELECT t.id FROM tracking.event_type t
                        WHERE t.name = ANY (names) OR EXISTS (SELECT FROM unnest(prefixes) AS p (prefix) WHERE starts_with(t.name, p.prefix))
                    ))
                ORDER BY l.position DESC
                LIMIT most_events
            ) m
        ) n ON n.bytes_before < most_bytes
        LEFT JOIN LATERAL (SELECT e.origin_event_id, e.body FROM tracking.event e WHERE e.id = n.event_id LIMIT 1) e ON true
        WHERE h.application_id = application
        ORDER BY n.position DESC;
    ELSE
        RETURN QUERY
        WITH looked AS MATERIALIZED (
            SELECT l.position, l.recorded_at, l.event_id, l.connection_id, l.size, l.event_type
            FROM tracking.head h
            CROSS JOIN unnest(contacts) AS c (id)
            CROSS JOIN LATERAL (
                SELECT l.position, l.recorded_at, l.event_id, l.connection_id, l.size, l.event_type
                FROM tracking.log l
                -- Not by the primary key, which would lead through everybody's events.
                WHERE l.contact_id = c.id AND NOT l.application_id IS DISTINCT FROM h.application_id
                    AND l.position > greatest(after, h.earliest - 1) AND l.position < before
                ORDER BY l.position
                LIMIT most_positions
            ) l
            WHERE h.application_id = application
            ORDER BY l.position
            LIMIT most_positions
        )
        SELECT h.position, h.earliest, n.matched,
            CASE WHEN (SELECT count(*) FROM looked) >= most_positions THEN (SELECT max(k.position) FROM looked k) END,
            n.position, n.recorded_at,
            CASE WHEN e.body IS NULL THEN (SELECT t.name FROM tracking.event_type t WHERE t.id = n.event_type) END,
            n.event_id, n.connection_id, e.origin_event_id, e.body
        FROM tracking.head h
        LEFT JOIN LATERAL (
            SELECT m.position, m.recorded_at, m.event_id, m.connection_id, m.event_type, count(*) OVER () AS matched,
                sum(m.size) OVER (ORDER BY m.position ROWS UNBOUNDED PRECEDING) - m.size AS bytes_before
            FROM (
                SELECT l.position, l.recorded_at, l.event_id, l.connection_id, l.size, l.event_type
                FROM looked l
                WHERE (connections IS NULL OR l.connection_id = ANY (connections))
                    AND (names IS NULL OR l.event_type IN (
                        SELECT t.id FROM tracking.event_type t
                        WHERE t.name = ANY (names) OR EXISTS (SELECT FROM unnest(prefixes) AS p (prefix) WHERE starts_with(t.name, p.prefix))
                    ))
                ORDER BY l.position
                LIMIT most_events
            ) m
        ) n ON n.bytes_before < most_bytes
        LEFT JOIN LATERAL (SELECT e.origin_event_id, e.body FROM tracking.event e WHERE e.id = n.event_id LIMIT 1) e ON true
        WHERE h.application_id = application
        ORDER BY n.position;
    END IF;
END $$;

-- An event and its children, those recorded first first, with their positions. `low` and `high` are the lowest and the highest id with the event's time bits, so all lie in
-- one partition. An event's position is found close after `log_after`: in between is what other statements appended while its own waited for the head. As above, the plan
-- must not depend on statistics.
CREATE FUNCTION tracking.family(application uuid, event uuid, low uuid, high uuid, most bigint)
    RETURNS TABLE ("position" bigint, id uuid, connection_id uuid, origin_event_id uuid, body bytea)
    LANGUAGE plpgsql STABLE ROWS 10
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT l.position, e.id, e.connection_id, e.origin_event_id, e.body
        FROM (
            SELECT f.log_after, f.id, f.connection_id, f.origin_event_id, f.body
            FROM tracking.event f
            WHERE f.id >= low AND f.id <= high AND f.application_id = application AND (f.id = event OR f.origin_event_id = event)
            ORDER BY f.id <> event, f.log_after
            LIMIT most
        ) e
        CROSS JOIN LATERAL (
            SELECT l.position FROM tracking.log l
            WHERE l.application_id = application AND l.position > e.log_after AND l.position <= e.log_after + 100000 AND l.event_id = e.id
            ORDER BY l.position
            LIMIT 1
        ) l
        ORDER BY l.position;
END $$;

-- One step of keeping the partitions from 8 days ago (Meta redelivers for 7) to 7 days ahead, and none that ended before `keep_from`. Tells whether there was something
-- to do: call it until there is not. One step is one transaction, for two of them would wait for statements that wait for them; and it gives up soon where it has to wait,
-- for everybody queues up behind it.
CREATE FUNCTION tracking.maintain_partitions(keep_from timestamptz) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET lock_timeout = '250ms'
    AS $$
DECLARE
    today timestamptz := date_trunc('day', tracking.now_(), 'UTC');
    first uuid;
    after uuid;
    partition text;
BEGIN
    -- Another process is at it.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('tracking.maintain_partitions', 0)) THEN
        RETURN false;
    END IF;
    FOR day IN -8..7 LOOP
        partition := 'event_' || to_char((today + day * interval '24 hours') AT TIME ZONE 'UTC', 'YYYYMMDD');
        CONTINUE WHEN to_regclass('tracking.' || partition) IS NOT NULL;
        first := tracking.first_id(today + day * interval '24 hours');
        after := tracking.first_id(today + (day + 1) * interval '24 hours');
        -- Attaching locks the parent less than creating the partition in place.
        EXECUTE format('CREATE TABLE tracking.%I (LIKE tracking.event INCLUDING ALL)', partition);
        EXECUTE format(
            'WITH stray AS (DELETE FROM tracking.event_default WHERE id >= %L AND id < %L RETURNING *) INSERT INTO tracking.%I SELECT * FROM stray',
            first, after, partition);
        EXECUTE format('ALTER TABLE tracking.event ATTACH PARTITION tracking.%I FOR VALUES FROM (%L) TO (%L)', partition, first, after);
        RETURN true;
    END LOOP;
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tracking.event'::regclass AND c.relname ~ '^event_[0-9]{8}$'
            AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (keep_from AT TIME ZONE 'UTC')::date
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE tracking.%I', partition);
        RETURN true;
    END LOOP;
    RETURN false;
END $$;

DO $$ BEGIN WHILE tracking.maintain_partitions('-infinity') LOOP END LOOP; END $$;
