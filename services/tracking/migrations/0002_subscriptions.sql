-- Outgoing webhooks: who wants which events, and what became of each.

-- Where an application wants its events sent, and how far it has come.
CREATE TABLE tracking.subscription (
    -- Everything up to this position of the log is delivered, left out by the patterns, or waits in `retry`.
    position bigint NOT NULL,
    -- Counts the takeovers: only the process of the latest moves the position.
    epoch bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The secret before the last rotation signs until then.
    previous_until timestamptz,
    -- Since when every attempt failed, how many did, and when the last one.
    failing_since timestamptz,
    failed_at timestamptz,
    disabled_at timestamptz,
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    -- The process that delivers, if it lives.
    owner uuid,
    failures integer NOT NULL DEFAULT 0,
    -- Rises with every change of what is delivered where.
    version integer NOT NULL DEFAULT 1,
    -- 1 active, 2 paused, 3 disabled.
    state smallint NOT NULL DEFAULT 1,
    -- Why it is disabled: 0 it is not, 1 gone, 2 failing, 3 behind.
    reason smallint NOT NULL DEFAULT 0,
    -- Its `subscription.disabled` event is still to be recorded.
    announce boolean NOT NULL DEFAULT false,
    name text NOT NULL,
    patterns text[] NOT NULL,
    -- Sealed.
    target bytea NOT NULL,
    secret bytea NOT NULL,
    previous_secret bytea
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX subscription_application ON tracking.subscription (application_id, id);
CREATE INDEX subscription_owner ON tracking.subscription (owner) WHERE state = 1;
CREATE INDEX subscription_announce ON tracking.subscription (disabled_at) WHERE announce;

-- Processes that deliver. One whose heartbeat is old has none of its subscriptions any more.
CREATE TABLE tracking.worker (
    seen_at timestamptz NOT NULL,
    id uuid PRIMARY KEY
) WITH (fillfactor = 50);

-- Deliveries whose outcome is known, written once; by the day in the id, which is that of the event's receipt.
CREATE TABLE tracking.delivery (
    finished_at timestamptz NOT NULL,
    subscription_id uuid NOT NULL,
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    attempts integer NOT NULL,
    -- 2 succeeded, 3 failed.
    outcome smallint NOT NULL,
    event_type text NOT NULL,
    -- Sealed: the latest attempts.
    attempt_log bytea NOT NULL,
    PRIMARY KEY (subscription_id, id)
) PARTITION BY RANGE (id);

ALTER TABLE tracking.delivery ALTER COLUMN attempt_log SET STORAGE EXTERNAL;

-- What was received on days that have no partition: long ago, or tomorrow by somebody's clock.
CREATE TABLE tracking.delivery_default PARTITION OF tracking.delivery DEFAULT;

-- Deliveries that failed and are tried again, or that somebody wants again.
CREATE TABLE tracking.retry (
    due_at timestamptz NOT NULL,
    subscription_id uuid NOT NULL REFERENCES tracking.subscription (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    event_id uuid NOT NULL,
    -- Attempts in all, and how many of the schedule's are used up.
    attempts integer NOT NULL,
    tries integer NOT NULL,
    event_type text NOT NULL,
    attempt_log bytea NOT NULL,
    PRIMARY KEY (subscription_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX retry_due ON tracking.retry (subscription_id, due_at);

-- As `maintain_partitions`, of deliveries: 1 day ago to 7 days ahead, and none that ended before `keep_from`.
CREATE FUNCTION tracking.maintain_deliveries(keep_from timestamptz) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET lock_timeout = '250ms'
    AS $$
DECLARE
    today timestamptz := date_trunc('day', tracking.now_(), 'UTC');
    first uuid;
    after uuid;
    partition text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('tracking.maintain_deliveries', 0)) THEN
        RETURN false;
    END IF;
    FOR day IN -1..7 LOOP
        partition := 'delivery_' || to_char((today + day * interval '24 hours') AT TIME ZONE 'UTC', 'YYYYMMDD');
        CONTINUE WHEN to_regclass('tracking.' || partition) IS NOT NULL;
        first := tracking.first_id(today + day * interval '24 hours');
        after := tracking.first_id(today + (day + 1) * interval '24 hours');
        EXECUTE format('CREATE TABLE tracking.%I (LIKE tracking.delivery INCLUDING ALL)', partition);
        EXECUTE format(
            'WITH stray AS (DELETE FROM tracking.delivery_default WHERE id >= %L AND id < %L RETURNING *) INSERT INTO tracking.%I SELECT * FROM stray',
            first, after, partition);
        EXECUTE format('ALTER TABLE tracking.delivery ATTACH PARTITION tracking.%I FOR VALUES FROM (%L) TO (%L)', partition, first, after);
        RETURN true;
    END LOOP;
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tracking.delivery'::regclass AND c.relname ~ '^delivery_[0-9]{8}$'
            AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (keep_from AT TIME ZONE 'UTC')::date
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE tracking.%I', partition);
        RETURN true;
    END LOOP;
    RETURN false;
END $$;

DO $$ BEGIN WHILE tracking.maintain_deliveries('-infinity') LOOP END LOOP; END $$;
