-- What sending needs beside the queue: templates, files, limits, consent, holds.

-- === Lifetime ===

-- After then a message that still waits ends EXPIRED.
ALTER TABLE messaging.queue ADD COLUMN expires_at timestamptz NOT NULL DEFAULT 'infinity';

-- A lane: who waits before whom.
CREATE INDEX queue_contact ON messaging.queue (contact_id);

-- Kinds of messaging.outbox are also: 6 expired, 7 canceled; of sandboxed messages 8 sent, 9 delivered, 10 read.

-- A request with several files is several messages with ids that follow one another; the key names the first.
ALTER TABLE messaging.idempotency ADD COLUMN parts smallint NOT NULL DEFAULT 1;

-- === Contacts ===

-- Kinds of messaging.identity: 1 phone number in E.164 form as it was dialled or as Meta shows it, 2 business-scoped user id, 3 parent user id, 4 WhatsApp id (digits with `+`), 5 user name.
ALTER TABLE messaging.contact ADD COLUMN merged_into uuid, ADD COLUMN profile_sealed bytea;

CREATE INDEX identity_contact ON messaging.identity (contact_id);
CREATE INDEX contact_application ON messaging.contact (application_id, id);

-- Contacts that became one.
CREATE TABLE messaging.contact_merge (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    source_id uuid NOT NULL,
    target_id uuid NOT NULL,
    at timestamptz NOT NULL
);

CREATE INDEX contact_merge_application ON messaging.contact_merge (application_id, id);

-- Who wants no marketing. `connection_id` of zeros: from no connection of the application. Sources as in the contract.
CREATE TABLE messaging.suppression (
    application_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    source smallint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (application_id, contact_id, connection_id)
);

-- === The 24-hour window ===

-- Meta said that the window is closed, then. A later message from the user opens it again.
ALTER TABLE messaging.service_window ADD COLUMN closed_at timestamptz;

-- Seconds until a window closes by Meta's clock, negative once it has. NULL: Meta closed it and the user has not written since; or there is no window.
CREATE FUNCTION messaging.window_left(last_inbound_at timestamptz, expires_at timestamptz, closed_at timestamptz, now timestamptz) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT CASE WHEN closed_at IS NULL OR last_inbound_at > closed_at THEN extract(epoch FROM expires_at - now)::double precision END $$;

-- Messages whose fallback template goes in their place, or went.
CREATE TABLE messaging.fallback (
    message_id uuid PRIMARY KEY
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);

-- === Templates ===

-- States and categories as in the contract. `components` is Meta's JSON array.
CREATE TABLE messaging.template (
    waba_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    language text COLLATE "C" NOT NULL,
    meta_id text COLLATE "C" NOT NULL,
    status smallint NOT NULL,
    meta_status text NOT NULL,
    category smallint NOT NULL,
    quality text NOT NULL,
    reason text NOT NULL,
    named boolean NOT NULL,
    components bytea NOT NULL,
    -- Grows with every change of the row: caches compare it.
    version bigint NOT NULL,
    synced_at timestamptz NOT NULL,
    PRIMARY KEY (waba_id, name, language)
);

-- One row per account whose templates are read.
CREATE TABLE messaging.template_sync (
    waba_id text COLLATE "C" PRIMARY KEY,
    synced_at timestamptz,
    -- Not before then: the next reading.
    due_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0
);

-- === Limits of Meta's portfolios ===

-- The portfolio that owns the connection's WABA. Empty while that is not known: then the WABA stands for it.
ALTER TABLE messaging.connection ADD COLUMN portfolio_id text COLLATE "C" NOT NULL DEFAULT '';

-- A portfolio is known by the business id that owns its WABAs or, while that is not known, by the WABA id. `unique_users`: in any 24 hours outside the window; NULL: unlimited. The default
-- is what Meta starts every portfolio with. `told_at`: when Meta said so; what it said later counts. `raised`: what waits for room has not been woken since the limit was raised.
CREATE TABLE messaging.portfolio (
    id text COLLATE "C" PRIMARY KEY,
    unique_users integer DEFAULT 250,
    told_at timestamptz NOT NULL DEFAULT '-infinity',
    raised boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);

CREATE INDEX portfolio_raised ON messaging.portfolio (id) WHERE raised;

-- Who was written to outside the window, in which minute since 1970. A contact stands here once per portfolio, with the messages of the last 24 hours that hold its place, at most 64, and
-- the minute of each; `minute` is the latest of them.
CREATE TABLE messaging.quota_member (
    portfolio_id text COLLATE "C" NOT NULL,
    contact_id uuid NOT NULL,
    minute integer NOT NULL,
    messages uuid[] NOT NULL,
    minutes integer[] NOT NULL,
    PRIMARY KEY (portfolio_id, contact_id)
) WITH (fillfactor = 80, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);

-- How many of the members stand in each minute.
CREATE TABLE messaging.quota_minute (
    portfolio_id text COLLATE "C" NOT NULL,
    minute integer NOT NULL,
    members integer NOT NULL,
    PRIMARY KEY (portfolio_id, minute)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000, autovacuum_analyze_threshold = 5000);

-- Minutes since 1970.
CREATE FUNCTION messaging.this_minute() RETURNS integer LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT floor(extract(epoch FROM messaging.now_()) / 60)::integer';

-- Takes places for messages to contacts outside the window, one answer each; a contact that has a place in its portfolio keeps it. Portfolios are locked in the order of their ids; what is
-- read after that is true until this commits. A minute leaves the count when all of it is older than 24 hours: a place is held up to 60 seconds too long, never too short.
-- Answers: the message's place among those asked about, whether it may be sent, how many places were taken before and after, how many there are (NULL: unlimited).
CREATE FUNCTION messaging.reserve_quota(portfolios text[], contacts uuid[], messages uuid[])
RETURNS TABLE (place bigint, granted boolean, before bigint, after bigint, most integer) LANGUAGE plpgsql AS $$
DECLARE
    one record;
    current_minute integer;
    used bigint;
BEGIN
    INSERT INTO messaging.portfolio (id)
    SELECT DISTINCT a.id FROM unnest(portfolios) AS a (id) WHERE NOT EXISTS (SELECT FROM messaging.portfolio p WHERE p.id = a.id) ORDER BY a.id
    ON CONFLICT (id) DO NOTHING;
    FOR one IN SELECT p.id, p.unique_users FROM messaging.portfolio p WHERE p.id = ANY (portfolios) ORDER BY p.id FOR NO KEY UPDATE LOOP
        IF one.unique_users IS NULL THEN
            RETURN QUERY SELECT a.place, true, 0::bigint, 0::bigint, NULL::integer FROM unnest(portfolios) WITH ORDINALITY AS a (portfolio, place) WHERE a.portfolio = one.id;
            CONTINUE;
        END IF;
        current_minute := messaging.this_minute();
        DELETE FROM messaging.quota_minute b WHERE b.portfolio_id = one.id AND b.minute < current_minute - 1440;
        SELECT coalesce(sum(b.members), 0) INTO used FROM messaging.quota_minute b WHERE b.portfolio_id = one.id;
        RETURN QUERY
        WITH asked AS MATERIALIZED (
            SELECT a.contact, a.message, a.place FROM unnest(portfolios, contacts, messages) WITH ORDINALITY AS a (portfolio, contact, message, place) WHERE a.portfolio = one.id
        ), judged AS MATERIALIZED (
            SELECT who.contact, who.asking, m.minute AS old, m.messages AS held, m.minutes AS since, coalesce(m.minute >= current_minute - 1440, false) AS counted,
                   row_number() OVER (PARTITION BY coalesce(m.minute >= current_minute - 1440, false) ORDER BY who.first) AS rank
            FROM (SELECT asked.contact, min(asked.place) AS first, array_agg(DISTINCT asked.message) AS asking FROM asked GROUP BY asked.contact) who
            LEFT JOIN LATERAL (SELECT * FROM messaging.quota_member m WHERE m.portfolio_id = one.id AND m.contact_id = who.contact LIMIT 1) m ON true
        ), admitted AS MATERIALIZED (
            SELECT * FROM judged j WHERE j.counted OR used + j.rank <= one.unique_users
        ), left_behind AS (
            UPDATE messaging.quota_minute b SET members = b.members - gone.members
            FROM (SELECT a.old, count(*)::integer AS members FROM admitted a WHERE a.counted AND a.old < current_minute GROUP BY a.old) gone
            WHERE b.portfolio_id = one.id AND b.minute = gone.old
        ), come AS (
            INSERT INTO messaging.quota_minute AS b (portfolio_id, minute, members)
            SELECT one.id, current_minute, count(*) FROM admitted a WHERE NOT a.counted OR a.old < current_minute HAVING count(*) > 0
            ON CONFLICT (portfolio_id, minute) DO UPDATE SET members = b.members + excluded.members
        ), seated AS (
            INSERT INTO messaging.quota_member AS m (portfolio_id, contact_id, minute, messages, minutes)
            SELECT one.id, a.contact, CASE WHEN a.counted THEN greatest(a.old, current_minute) ELSE current_minute END, holding.messages, holding.minutes
            FROM admitted a
            CROSS JOIN LATERAL (
                SELECT array_agg(h.message ORDER BY h.minute DESC) AS messages, array_agg(h.minute ORDER BY h.minute DESC) AS minutes
                FROM (
                    SELECT q.message, current_minute AS minute FROM unnest(a.asking) AS q (message)
                    UNION ALL
                    SELECT o.message, o.minute FROM unnest(a.held, a.since) AS o (message, minute) WHERE o.minute >= current_minute - 1440 AND o.message <> ALL (a.asking)
                    ORDER BY minute DESC LIMIT 64
                ) h
            ) holding
            ON CONFLICT (portfolio_id, contact_id) DO UPDATE SET minute = excluded.minute, messages = excluded.messages, minutes = excluded.minutes
        )
        SELECT asked.place, admitted.contact IS NOT NULL, used, used + (SELECT count(*) FROM admitted WHERE NOT admitted.counted), one.unique_users
        FROM asked LEFT JOIN admitted ON admitted.contact = asked.contact;
    END LOOP;
END $$;

-- Gives places back that messages held: Meta refused them for good. A contact keeps its place while another message of the last 24 hours holds it, and the minute of the latest of those.
CREATE FUNCTION messaging.release_quota(portfolios text[], contacts uuid[], messages uuid[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    one record;
    oldest integer;
    freed bigint;
    total bigint := 0;
BEGIN
    FOR one IN SELECT p.id FROM messaging.portfolio p WHERE p.id = ANY (portfolios) ORDER BY p.id FOR NO KEY UPDATE LOOP
        oldest := messaging.this_minute() - 1440;
        WITH asked AS MATERIALIZED (
            SELECT a.contact, array_agg(a.message) AS releasing FROM unnest(portfolios, contacts, messages) AS a (portfolio, contact, message) WHERE a.portfolio = one.id GROUP BY a.contact
        ), judged AS MATERIALIZED (
            SELECT a.contact, m.minute AS old, stay.messages, stay.minutes, stay.latest
            FROM asked a
            CROSS JOIN LATERAL (
                SELECT * FROM messaging.quota_member m WHERE m.portfolio_id = one.id AND m.contact_id = a.contact AND m.messages && a.releasing LIMIT 1
            ) m
            CROSS JOIN LATERAL (
                SELECT array_agg(o.message ORDER BY o.minute DESC) AS messages, array_agg(o.minute ORDER BY o.minute DESC) AS minutes, max(o.minute) AS latest
                FROM unnest(m.messages, m.minutes) AS o (message, minute) WHERE o.minute >= oldest AND o.message <> ALL (a.releasing)
            ) stay
        ), gone AS (
            DELETE FROM messaging.quota_member m USING judged j WHERE m.portfolio_id = one.id AND m.contact_id = j.contact AND j.latest IS NULL
        ), stayed AS (
            UPDATE messaging.quota_member m SET minute = j.latest, messages = j.messages, minutes = j.minutes
            FROM judged j WHERE m.portfolio_id = one.id AND m.contact_id = j.contact AND j.latest IS NOT NULL
        ), moved AS (
            INSERT INTO messaging.quota_minute AS b (portfolio_id, minute, members)
            SELECT one.id, change.minute, sum(change.members)
            FROM (
                SELECT j.old AS minute, -1 AS members FROM judged j WHERE j.old >= oldest
                UNION ALL
                SELECT j.latest, 1 FROM judged j WHERE j.latest IS NOT NULL
            ) change
            GROUP BY change.minute HAVING sum(change.members) <> 0
            ON CONFLICT (portfolio_id, minute) DO UPDATE SET members = b.members + excluded.members
        )
        SELECT count(*) INTO freed FROM judged j WHERE j.latest IS NULL;
        total := total + freed;
    END LOOP;
    RETURN total;
END $$;

-- The portfolio of WABA `source` turns out to be `target`: who was counted there is counted here.
CREATE FUNCTION messaging.join_portfolios(source text, target text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    oldest integer;
BEGIN
    INSERT INTO messaging.portfolio (id) VALUES (target) ON CONFLICT (id) DO NOTHING;
    PERFORM FROM messaging.portfolio p WHERE p.id IN (source, target) ORDER BY p.id FOR NO KEY UPDATE;
    UPDATE messaging.portfolio t SET unique_users = s.unique_users, told_at = s.told_at
    FROM messaging.portfolio s WHERE s.id = source AND t.id = target AND s.told_at > t.told_at;
    oldest := messaging.this_minute() - 1440;
    WITH judged AS MATERIALIZED (
        SELECT s.contact_id, s.minute AS theirs, s.messages, s.minutes, t.minute AS ours
        FROM messaging.quota_member s
        LEFT JOIN LATERAL (
            SELECT t.minute FROM messaging.quota_member t WHERE t.portfolio_id = target AND t.contact_id = s.contact_id AND t.minute >= oldest LIMIT 1
        ) t ON true
        WHERE s.portfolio_id = source AND s.minute >= oldest
    ), seated AS (
        INSERT INTO messaging.quota_member AS m (portfolio_id, contact_id, minute, messages, minutes)
        SELECT target, j.contact_id, j.theirs, j.messages, j.minutes FROM judged j ORDER BY j.contact_id
        ON CONFLICT (portfolio_id, contact_id) DO UPDATE
        SET minute = greatest(m.minute, excluded.minute), messages = excluded.messages || m.messages, minutes = excluded.minutes || m.minutes
    )
    INSERT INTO messaging.quota_minute AS b (portfolio_id, minute, members)
    SELECT target, change.minute, sum(change.members)
    FROM (
        SELECT j.ours AS minute, -1 AS members FROM judged j WHERE j.ours IS NOT NULL
        UNION ALL
        SELECT greatest(j.ours, j.theirs), 1 FROM judged j
    ) change
    GROUP BY change.minute HAVING sum(change.members) <> 0
    ON CONFLICT (portfolio_id, minute) DO UPDATE SET members = b.members + excluded.members;
    DELETE FROM messaging.quota_member m WHERE m.portfolio_id = source;
    DELETE FROM messaging.quota_minute b WHERE b.portfolio_id = source;
    DELETE FROM messaging.portfolio p WHERE p.id = source;
END $$;

-- === Operators ===

-- What is held back. Scopes: 1 phone number id, 2 connection, 3 application; `key` is its digits, or the text of its UUID.
CREATE TABLE messaging.hold (
    scope smallint NOT NULL,
    key text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    operator_key_id uuid NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);

-- What operators did.
CREATE TABLE messaging.audit (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    operator_key_id uuid NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL
);

-- === Files ===

-- Kinds and states as in the contract. `name_sealed` holds the file name. `object` is the key in the store.
CREATE TABLE messaging.file (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    size_bytes bigint NOT NULL,
    kind smallint NOT NULL,
    state smallint NOT NULL,
    mime_type text NOT NULL,
    reason text NOT NULL,
    object text NOT NULL,
    sha256 bytea NOT NULL,
    name_sealed bytea NOT NULL
);

CREATE INDEX file_application ON messaging.file (application_id, id);

-- How much room an application's files take.
CREATE TABLE messaging.file_usage (
    application_id uuid PRIMARY KEY,
    bytes bigint NOT NULL
) WITH (fillfactor = 50);

-- Meta's ids of files: each number has its own, for 30 days.
CREATE TABLE messaging.file_media (
    file_id uuid NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    media_id text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (file_id, phone_number_id)
);

-- Objects whose file is gone, to be deleted from the store.
CREATE TABLE messaging.file_trash (
    object text PRIMARY KEY,
    due_at timestamptz NOT NULL
);

-- === Read receipts ===

-- The application wants messages from users to be marked as read by themselves.
ALTER TABLE messaging.connection ADD COLUMN auto_mark_read boolean NOT NULL DEFAULT false;

-- Messages of users that are still to be marked as read by themselves: the newest of each conversation, with which all earlier ones are.
CREATE TABLE messaging.receipt (
    phone_number_id text COLLATE "C" NOT NULL,
    contact_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    tries smallint NOT NULL DEFAULT 0,
    wamid_sealed bytea NOT NULL,
    PRIMARY KEY (phone_number_id, contact_id)
);

CREATE INDEX receipt_due ON messaging.receipt (due_at);
