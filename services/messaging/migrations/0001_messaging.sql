-- The messaging service's own schema: messages, the send queue, who owns which number, what Meta's ids mean, contacts and windows.
--
-- The queue row is the truth about a message while it exists: small, rewritten in place (HOT), deleted by the statement that ends the message, which writes its ending. The message row
-- itself is never written again. Hot tables have their primary key and nothing else; what they are purged by is a BRIN index, which costs next to nothing per row.
--
-- A statement that joins a partitioned table locks every partition of it and their indexes. So history is partitioned by day, but the everyday path only inserts into it, which touches
-- the one partition that is meant; and the keys that every statement looks up stand in plain tables.

-- Plans are made once per session and kept. A plan made while a table is nearly empty would read all of it for ever after, so a table must never look nearly empty: the queue and the
-- outbox, which are, hold some thousand inert rows; the others are not measured before they have grown (the thresholds below).

-- Time, as every statement sees it. A test database replaces this function.
CREATE FUNCTION messaging.now_() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()';

-- === What is known of connections: a projection of the connection service ===

CREATE TABLE messaging.connection (
    connection_id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    version bigint NOT NULL,
    token_version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    throughput_per_second integer NOT NULL,
    state smallint NOT NULL,
    paused boolean NOT NULL,
    waba_id text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    display_number_sealed bytea NOT NULL
);

-- === Who sends from which number ===

CREATE TABLE messaging.worker (
    id uuid PRIMARY KEY,
    url text NOT NULL,
    heartbeat_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- The epoch grows with every change of owner. An intent reads it under a share lock: an owner that was replaced can no longer begin a call.
CREATE TABLE messaging.number_owner (
    phone_number_id text COLLATE "C" PRIMARY KEY,
    worker uuid,
    epoch bigint NOT NULL
) WITH (fillfactor = 50);

-- Tasks that one process runs at a time. Not a fence: each of them is safe to run twice.
CREATE TABLE messaging.lease (
    name text PRIMARY KEY,
    worker uuid NOT NULL,
    until timestamptz NOT NULL
);

-- How far the decoding of webhooks is: while it is behind, silence about a message proves nothing. Nor does it when no webhook comes at all: `heard_at` is when the newest decoded one came.
CREATE TABLE messaging.ingest_health (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    healthy_since timestamptz,
    heard_at timestamptz,
    reported_at timestamptz NOT NULL
);

-- === Who is written to ===

CREATE TABLE messaging.contact (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    created_at timestamptz NOT NULL
);

-- The only place where phone numbers stand in clear. Kinds: 1 phone number in E.164 form, 2 business-scoped user id.
CREATE TABLE messaging.identity (
    application_id uuid NOT NULL,
    kind smallint NOT NULL,
    value text COLLATE "C" NOT NULL,
    contact_id uuid NOT NULL,
    PRIMARY KEY (application_id, kind, value)
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);

-- The 24 hours after a user's last message or call, per business number. The last message's id is empty while there were calls only.
CREATE TABLE messaging.service_window (
    phone_number_id text COLLATE "C" NOT NULL,
    contact_id uuid NOT NULL,
    last_inbound_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_wamid_sealed bytea NOT NULL,
    PRIMARY KEY (phone_number_id, contact_id)
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);

-- === Messages ===

-- One row per idempotency key, for 7 days. The message's id tells the age.
CREATE TABLE messaging.idempotency (
    application_id uuid NOT NULL,
    message_id uuid NOT NULL,
    key_hash bytea NOT NULL,
    fingerprint bytea NOT NULL,
    PRIMARY KEY (application_id, key_hash)
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);

CREATE INDEX idempotency_age ON messaging.idempotency USING brin (message_id);

-- What was to be sent. Range partitions by day on the id's time; the default partition stays empty.
CREATE TABLE messaging.message (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    -- Not before then. NULL: at once.
    send_at timestamptz,
    on_unknown smallint NOT NULL,
    priority smallint NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    traceparent text,
    sealed bytea NOT NULL
) PARTITION BY RANGE (id);

-- Sealed content does not compress.
ALTER TABLE messaging.message ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- How it ended: one row for each message that stands in the queue no longer, in the partition of the message's day. Evidence that comes later changes it.
CREATE TABLE messaging.ending (
    message_id uuid PRIMARY KEY,
    updated_at timestamptz NOT NULL,
    attempt integer NOT NULL,
    state smallint NOT NULL,
    duplicates smallint NOT NULL,
    meta_code integer,
    reason text,
    wamid_hash bytea,
    wamid_sealed bytea
) PARTITION BY RANGE (message_id);

-- States as in domain::Submission; only QUEUED (1), SENDING (2) and UNKNOWN (4) are found here. `place` is the order of acceptance. `unsettled` counts earlier attempts whose
-- outcome stayed unknown, `tries` the attempts that reached Meta, `nonce` tells one intent from another.
CREATE TABLE messaging.queue (
    phone_number_id text COLLATE "C" NOT NULL,
    message_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    ready_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    epoch bigint NOT NULL,
    attempt integer NOT NULL,
    tries integer NOT NULL,
    state smallint NOT NULL,
    priority smallint NOT NULL,
    on_unknown smallint NOT NULL,
    resends smallint NOT NULL,
    unsettled smallint NOT NULL,
    held boolean NOT NULL,
    intent_at timestamptz,
    nonce uuid,
    meta_code integer,
    reason text,
    PRIMARY KEY (phone_number_id, message_id)
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- What each of Meta's ids means. One message can have several: that is how a second acceptance shows.
CREATE TABLE messaging.wamid (
    hash bytea PRIMARY KEY,
    message_id uuid NOT NULL,
    application_id uuid NOT NULL,
    attempt integer NOT NULL
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);

CREATE INDEX wamid_age ON messaging.wamid USING brin (message_id);

-- Attempts that failed, and every attempt from the second on.
CREATE TABLE messaging.attempt (
    message_id uuid NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL,
    outcome smallint NOT NULL,
    http_status smallint,
    meta_code integer,
    reason text,
    fbtrace text,
    PRIMARY KEY (message_id, attempt)
);

-- Events that the tracking service does not have yet. Kinds: 1 outbound, 2 accepted, 3 failed, 4 unknown, 5 duplicate. `detail` holds, sealed, what the message row does not.
CREATE TABLE messaging.outbox (
    message_id uuid NOT NULL,
    at timestamptz NOT NULL,
    attempt integer NOT NULL,
    kind smallint NOT NULL,
    detail bytea,
    PRIMARY KEY (message_id, kind, attempt)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Statuses of messages that are not known yet, by the hash of the wamid; `id` is the status's event id.
CREATE TABLE messaging.orphan_status (
    hash bytea NOT NULL,
    id uuid NOT NULL,
    application_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (hash, id)
);

-- === Partitions ===

CREATE TABLE messaging.message_default PARTITION OF messaging.message DEFAULT;
CREATE TABLE messaging.ending_default PARTITION OF messaging.ending DEFAULT;

-- The lowest version-7 UUID of a day.
CREATE FUNCTION messaging.first_id(day date) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM day::timestamp AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

-- Makes the partitions of the days around now, and drops those older than 35 days. Says how many rows stand in the default partitions: none, unless days went by without this function, or
-- a clock is wrong.
CREATE FUNCTION messaging.maintain_partitions() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    today date := (messaging.now_() AT TIME ZONE 'UTC')::date;
    parent text;
    day date;
    name text;
    old record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('messaging.maintain_partitions'));
    FOREACH parent IN ARRAY ARRAY['message', 'ending'] LOOP
        FOR day IN SELECT generate_series(today - 1, today + 7, interval '1 day')::date LOOP
            name := parent || '_' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass('messaging.' || name) IS NOT NULL;
            -- Attached rather than created as a partition: that takes the lighter lock on the parent.
            EXECUTE format('CREATE TABLE messaging.%I (LIKE messaging.%I INCLUDING ALL) WITH (autovacuum_vacuum_threshold = 5000, '
                           'autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000)', name, parent);
            EXECUTE format('ALTER TABLE messaging.%I ATTACH PARTITION messaging.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, name, messaging.first_id(day), messaging.first_id(day + 1));
        END LOOP;
        FOR old IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = ('messaging.' || parent)::regclass AND c.relname ~ '_[0-9]{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') < today - 35
        LOOP
            EXECUTE format('DROP TABLE messaging.%I', old.relname);
        END LOOP;
    END LOOP;
    -- The inert rows; no number and no message has these keys, and no state is 0.
    INSERT INTO messaging.queue (phone_number_id, message_id, contact_id, connection_id, ready_at, updated_at, epoch, attempt, tries, state, priority, on_unknown, resends, unsettled, held)
    SELECT '', inert.id, inert.id, inert.id, 'infinity', 'epoch', 0, 0, 0, 0, 0, 0, 0, 0, true
    FROM (SELECT lpad(to_hex(n), 32, '0')::uuid AS id FROM generate_series(1, 5000) n) inert
    ON CONFLICT (phone_number_id, message_id) DO NOTHING;
    INSERT INTO messaging.outbox (message_id, at, attempt, kind)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'infinity', 0, 0 FROM generate_series(1, 5000) n
    ON CONFLICT (message_id, kind, attempt) DO NOTHING;
    RETURN (SELECT count(*) FROM messaging.message_default) + (SELECT count(*) FROM messaging.ending_default);
END $$;

SELECT messaging.maintain_partitions();
