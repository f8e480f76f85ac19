-- What sending needs beside the queue: templates, files, limits, consent, holds.

-- === Lifetime ===

-- After then a message that still waits ends EXPIRED.
ALTER TABLE messaging.queue ADD COLUMN expires_at timestamptz NOT NULL DEFAULT 'infinity';

-- Who waits before whom.
CREATE INDEX queue_lane ON messaging.queue (contact_id, place);

-- Kinds of messaging.outbox are also: 6 expired, 7 canceled; of sandboxed messages 8 sent, 9 delivered, 10 read.

-- Urgent messages are found at once whatever waits before them. Other messages pay nothing for it; the inert rows keep it from looking empty.
CREATE INDEX queue_urgent ON messaging.queue (phone_number_id, message_id) WHERE priority <= 1;

-- A request with several files is several messages with ids that follow one another; the key names the first.
ALTER TABLE messaging.idempotency ADD COLUMN parts smallint NOT NULL DEFAULT 1;

-- === Contacts ===

-- One contact is one user, as one application knows them. Kinds of messaging.identity: 1 phone number in E.164 form, as it was dialled or as Meta shows it, 2 business-scoped user id,
-- 3 parent user id, 4 the phone number (with `+`) is a WhatsApp id of Meta's, 5 user name. A retired id was replaced by another: late webhooks still find the user by it, nobody else does.
ALTER TABLE messaging.identity ADD COLUMN retired boolean NOT NULL DEFAULT false;

-- `merged_into` is always a contact that was not merged itself: a look at one row finds the survivor. `moved_at`: when, by Meta's clock, the user last got new ids in place of old ones.
-- `profile_sealed` holds the user's name.
ALTER TABLE messaging.contact ADD COLUMN merged_into uuid, ADD COLUMN moved_at timestamptz, ADD COLUMN profile_sealed bytea;

CREATE INDEX identity_contact ON messaging.identity (contact_id);
CREATE INDEX contact_application ON messaging.contact (application_id, id);
CREATE INDEX contact_merged ON messaging.contact (merged_into) WHERE merged_into IS NOT NULL;

-- Contacts that became one.
CREATE TABLE messaging.contact_merge (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    source_id uuid NOT NULL,
    target_id uuid NOT NULL,
    at timestamptz NOT NULL
);

CREATE INDEX contact_merge_application ON messaging.contact_merge (application_id, id);
CREATE INDEX contact_merge_age ON messaging.contact_merge (at);

-- Who wants no marketing. `connection_id` of zeros: from no connection of the application. Sources as in the contract.
CREATE TABLE messaging.suppression (
    application_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    source smallint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (application_id, contact_id, connection_id)
);

CREATE INDEX suppression_age ON messaging.suppression (application_id, at, contact_id, connection_id);
CREATE INDEX suppression_connection ON messaging.suppression (application_id, connection_id, at, contact_id);

-- When suppressions of a source were lifted: what Meta reports again, or late, from before then changes nothing. Kept longer than Meta redelivers.
CREATE TABLE messaging.suppression_lifted (
    application_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    source smallint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (application_id, contact_id, connection_id, source)
);

-- What happened to contacts and the tracking service does not know yet; `id` is the event's. Kinds: 1 merged into `other_id`, 2 suppressed, 3 suppressed no longer.
CREATE TABLE messaging.contact_event (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    at timestamptz NOT NULL,
    kind smallint NOT NULL,
    source smallint,
    other_id uuid
);

-- What a contact is written to by: the phone number as Meta shows it, as it was dialled, else the business-scoped user id.
CREATE FUNCTION messaging.external_id(contact uuid) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT i.value FROM messaging.identity i
    WHERE i.contact_id = contact AND NOT i.retired AND i.kind <> 5
    ORDER BY CASE i.kind WHEN 4 THEN 0 ELSE i.kind END, i.value LIMIT 1
$$;

-- Makes one of contacts that turned out to be the same user: of each group the oldest, which has the lowest id, survives. So no two can survive as each other, and a survivor's survivor
-- is found in one step. Merges of one application run one after the other; rows are locked in the order of their ids. `ids`, one per contact, name the merges and their events. What
-- belonged to the others is carried over by statements of its own.
CREATE FUNCTION messaging.merge_contacts(groups integer[], applications uuid[], contacts uuid[], ids uuid[])
RETURNS TABLE (application uuid, source uuid, target uuid) LANGUAGE plpgsql AS $$
DECLARE
    stripe integer;
    one record;
    survivor uuid;
BEGIN
    FOR stripe IN SELECT DISTINCT hashtext(a::text) FROM unnest(applications) a ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(hashtext('messaging.contact_merge'), stripe);
    END LOOP;
    -- The contacts, their survivors, and whoever was merged into these.
    PERFORM FROM messaging.contact c
    WHERE c.id IN (
        WITH roots AS MATERIALIZED (SELECT DISTINCT coalesce(r.merged_into, r.id) AS id FROM messaging.contact r WHERE r.id = ANY (contacts))
        SELECT id FROM roots UNION SELECT m.id FROM roots JOIN messaging.contact m ON m.merged_into = roots.id
    )
    ORDER BY c.id FOR UPDATE;
    FOR one IN
        SELECT given.grp, given.application, array_agg(given.contact) AS members, array_agg(given.id) AS names
        FROM unnest(groups, applications, contacts, ids) AS given (grp, application, contact, id)
        GROUP BY given.grp, given.application ORDER BY given.grp
    LOOP
        -- An earlier group may have changed what these are.
        SELECT coalesce(c.merged_into, c.id) INTO survivor
        FROM messaging.contact c WHERE c.id = ANY (one.members) AND c.application_id = one.application ORDER BY 1 LIMIT 1;
        RETURN QUERY
        WITH others AS MATERIALIZED (
            SELECT DISTINCT ON (root) coalesce(c.merged_into, c.id) AS root, given.name
            FROM unnest(one.members, one.names) AS given (member, name) JOIN messaging.contact c ON c.id = given.member
            WHERE c.application_id = one.application AND coalesce(c.merged_into, c.id) <> survivor
            ORDER BY root, given.name
        ), moved AS (
            UPDATE messaging.contact c SET merged_into = survivor FROM others WHERE c.id = others.root OR c.merged_into = others.root
        ), noted AS (
            INSERT INTO messaging.contact_merge (id, application_id, source_id, target_id, at)
            SELECT o.name, one.application, o.root, survivor, messaging.now_() FROM others o
        ), told AS (
            INSERT INTO messaging.contact_event (id, application_id, contact_id, connection_id, at, kind, other_id)
            SELECT o.name, one.application, o.root, '00000000-0000-0000-0000-000000000000', messaging.now_(), 1, survivor FROM others o
        )
        SELECT one.application, o.root, survivor FROM others o;
    END LOOP;
END $$;

-- Gives a merged contact's ids, suppressions and places in the quota to its survivor. Doing it again finds what was written to the merged one meanwhile.
CREATE FUNCTION messaging.carry_contacts(sources uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    PERFORM FROM messaging.contact c
    WHERE c.id = ANY (sources) OR c.id IN (SELECT m.merged_into FROM messaging.contact m WHERE m.id = ANY (sources))
    ORDER BY c.id FOR UPDATE;
    -- Of two user names the survivor's stays: a user has one at a time.
    DELETE FROM messaging.identity i USING messaging.contact c
    WHERE c.id = ANY (sources) AND c.merged_into IS NOT NULL AND i.contact_id = c.id AND i.kind = 5
      AND EXISTS (SELECT FROM messaging.identity o WHERE o.contact_id = c.merged_into AND o.kind = 5);
    UPDATE messaging.identity i SET contact_id = c.merged_into
    FROM messaging.contact c WHERE c.id = ANY (sources) AND c.merged_into IS NOT NULL AND i.contact_id = c.id;

    WITH gone AS (
        DELETE FROM messaging.suppression s USING messaging.contact c
        WHERE c.id = ANY (sources) AND c.merged_into IS NOT NULL AND s.application_id = c.application_id AND s.contact_id = c.id
        RETURNING s.application_id, c.merged_into, s.connection_id, s.source, s.at
    )
    INSERT INTO messaging.suppression AS s (application_id, contact_id, connection_id, source, at)
    SELECT DISTINCT ON (application_id, merged_into, connection_id) * FROM gone ORDER BY application_id, merged_into, connection_id, source = 1, at
    ON CONFLICT (application_id, contact_id, connection_id) DO UPDATE SET source = excluded.source WHERE s.source = 1 AND excluded.source <> 1;
    WITH gone AS (
        DELETE FROM messaging.suppression_lifted l USING messaging.contact c
        WHERE c.id = ANY (sources) AND c.merged_into IS NOT NULL AND l.application_id = c.application_id AND l.contact_id = c.id
        RETURNING l.application_id, c.merged_into, l.connection_id, l.source, l.at
    )
    INSERT INTO messaging.suppression_lifted AS l (application_id, contact_id, connection_id, source, at)
    SELECT application_id, merged_into, connection_id, source, max(at) FROM gone GROUP BY application_id, merged_into, connection_id, source ORDER BY 1, 2, 3, 4
    ON CONFLICT (application_id, contact_id, connection_id, source) DO UPDATE SET at = greatest(l.at, excluded.at);

    -- Whoever has a place as both has the later one, with the messages of both.
    FOR one IN
        SELECT p.id FROM messaging.portfolio p
        WHERE EXISTS (
            SELECT FROM unnest(sources) AS s (id) CROSS JOIN LATERAL (
                SELECT FROM messaging.quota_member m WHERE m.portfolio_id = p.id AND m.contact_id = s.id LIMIT 1
            ) m
        )
        ORDER BY p.id FOR NO KEY UPDATE
    LOOP
        WITH gone AS (
            DELETE FROM messaging.quota_member m USING messaging.contact c
            WHERE m.portfolio_id = one.id AND m.contact_id = ANY (sources) AND c.id = m.contact_id AND c.merged_into IS NOT NULL
            RETURNING c.merged_into AS contact, m.minute, m.messages, m.minutes
        ), places AS MATERIALIZED (
            SELECT * FROM gone
            UNION ALL
            SELECT m.contact_id, m.minute, m.messages, m.minutes FROM messaging.quota_member m
            WHERE m.portfolio_id = one.id AND m.contact_id IN (SELECT contact FROM gone)
        ), united AS MATERIALIZED (
            SELECT p.contact, max(p.minute) AS minute FROM places p GROUP BY p.contact
        ), counted AS (
            UPDATE messaging.quota_minute q SET members = q.members + change.members
            FROM (
                SELECT e.minute, sum(e.members)::integer AS members
                FROM (SELECT minute, -1 AS members FROM places UNION ALL SELECT minute, 1 FROM united) e
                GROUP BY e.minute
            ) change
            WHERE q.portfolio_id = one.id AND q.minute = change.minute AND change.members <> 0
        )
        INSERT INTO messaging.quota_member AS m (portfolio_id, contact_id, minute, messages, minutes)
        SELECT one.id, u.contact, u.minute, held.messages, held.minutes
        FROM united u
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(h.message ORDER BY h.minute DESC), '{}') AS messages, coalesce(array_agg(h.minute ORDER BY h.minute DESC), '{}') AS minutes
            FROM (
                SELECT o.message, max(o.minute) AS minute FROM places p CROSS JOIN LATERAL unnest(p.messages, p.minutes) AS o (message, minute)
                WHERE p.contact = u.contact GROUP BY o.message ORDER BY 2 DESC LIMIT 64
            ) h
        ) held
        ON CONFLICT (portfolio_id, contact_id) DO UPDATE SET minute = excluded.minute, messages = excluded.messages, minutes = excluded.minutes;
    END LOOP;
END $$;

-- === The 24-hour window ===

-- Meta said that the window is closed, then. A later message from the user opens it again.
ALTER TABLE messaging.service_window ADD COLUMN closed_at timestamptz;

-- Two contacts that become one have their windows united.
CREATE INDEX service_window_contact ON messaging.service_window (contact_id);

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
    category smallint NOT NULL,
    -- Its places have names.
    named boolean NOT NULL,
    -- The last whole reading did not find it. What the next does not find either is gone: a list that changes while it is read can skip one.
    missed boolean NOT NULL DEFAULT false,
    meta_status text NOT NULL,
    quality text NOT NULL,
    reason text NOT NULL,
    components bytea NOT NULL,
    -- When a reading last changed it, and when a webhook or a refusal last did: a list that Meta was asked for before then knows less.
    synced_at timestamptz NOT NULL,
    heard_at timestamptz,
    PRIMARY KEY (waba_id, name, language)
);

-- One row per account whose templates are read.
CREATE TABLE messaging.template_sync (
    waba_id text COLLATE "C" PRIMARY KEY,
    -- The last whole reading. NULL: there was none yet.
    synced_at timestamptz,
    -- The next reading; infinity: none while no connection of the account is active.
    due_at timestamptz NOT NULL,
    -- Before then Meta is not asked, whoever wants it: a minute after each beginning, longer when Meta says so.
    not_before timestamptz NOT NULL DEFAULT '-infinity',
    -- Who reads now, until when at most, and since when.
    lease uuid,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    started_at timestamptz NOT NULL DEFAULT '-infinity',
    -- When a reading was last asked for: what came after the beginning of one wants another.
    wanted_at timestamptz NOT NULL DEFAULT '-infinity',
    -- When one of the account's templates last changed: what other processes follow.
    changed_at timestamptz NOT NULL DEFAULT '-infinity',
    failures integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

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

-- === What Meta holds back ===

-- Until when Meta takes nothing, by its own answers: what the owner of a number learned, its next owner and every other process know. Scopes: 1 phone number, 2 its campaigns, 3 WABA,
-- 4 its campaigns, 5 the Meta app, whose key is empty. `probe`: after that one message is tried before the others. `reason` is that of the answer.
--
-- Users are not here: there can be as many as recipients, and each would cost a write per answer. The message that met such an answer waits by its own row; should its number change hands
-- meanwhile, one more message to that user may be sent too soon, and Meta's answer, a definite one, holds the user back again.
CREATE TABLE messaging.brake (
    scope smallint NOT NULL,
    key text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    probe boolean NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (scope, key)
) WITH (fillfactor = 50);

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

CREATE INDEX file_media_expiry ON messaging.file_media (expires_at);

-- Objects that belong to no file: those of uploads that have not ended, with the room that they hold, and those of files that are gone, which hold none. Deleted from the store once they are due.
CREATE TABLE messaging.file_trash (
    object text COLLATE "C" PRIMARY KEY,
    application_id uuid NOT NULL,
    reserved bigint NOT NULL,
    -- The store's own id of an upload in parts.
    upload text,
    due_at timestamptz NOT NULL
);

CREATE INDEX file_trash_due ON messaging.file_trash (due_at);

-- Files of users' messages that are still to be fetched from Meta, and those whose end the tracking service does not know yet. `event_id` is the message's event; `media_id` is Meta's.
CREATE TABLE messaging.file_fetch (
    file_id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    event_id uuid NOT NULL,
    media_id text NOT NULL,
    -- By Meta's word; empty: it gave none.
    sha256 bytea NOT NULL,
    -- When the user sent it, by Meta's clock: Meta keeps it 7 days from then.
    sent_at timestamptz NOT NULL,
    -- When it is tried next; while it is tried, when the process that tries it counts as dead.
    due_at timestamptz NOT NULL,
    tries smallint NOT NULL DEFAULT 0,
    -- The try under way, and the file's object in it.
    lease uuid,
    -- When its bytes were here, or given up.
    ended_at timestamptz
) WITH (fillfactor = 70);

CREATE INDEX file_fetch_due ON messaging.file_fetch (application_id, due_at) WHERE ended_at IS NULL;
CREATE INDEX file_fetch_ended ON messaging.file_fetch (ended_at) WHERE ended_at IS NOT NULL;

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
