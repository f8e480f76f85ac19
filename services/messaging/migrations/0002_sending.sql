-- What sending needs beside the queue: templates, files, limits, consent, holds.

-- === Lifetime ===

-- After then a message that still waits ends EXPIRED.
ALTER TABLE messaging.queue ADD COLUMN expires_at timestamptz NOT NULL DEFAULT 'infinity';

-- A lane: who waits before whom.
CREATE INDEX queue_contact ON messaging.queue (contact_id);

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

    -- Whoever has a place as both has the later one.
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
            RETURNING c.merged_into AS contact, m.minute
        ), united AS (
            SELECT e.contact, max(e.minute) AS minute
            FROM (
                SELECT * FROM gone
                UNION ALL
                SELECT m.contact_id, m.minute FROM messaging.quota_member m WHERE m.portfolio_id = one.id AND m.contact_id IN (SELECT contact FROM gone)
            ) e
            GROUP BY e.contact
        ), counted AS (
            UPDATE messaging.quota_minute q SET members = q.members + change.members
            FROM (
                SELECT e.minute, sum(e.members)::integer AS members
                FROM (
                    SELECT minute, -1 AS members FROM gone
                    UNION ALL
                    SELECT m.minute, -1 FROM messaging.quota_member m WHERE m.portfolio_id = one.id AND m.contact_id IN (SELECT contact FROM gone)
                    UNION ALL
                    SELECT minute, 1 FROM united
                ) e
                GROUP BY e.minute
            ) change
            WHERE q.portfolio_id = one.id AND q.minute = change.minute
        )
        INSERT INTO messaging.quota_member AS m (portfolio_id, contact_id, minute)
        SELECT one.id, u.contact, u.minute FROM united u
        ON CONFLICT (portfolio_id, contact_id) DO UPDATE SET minute = excluded.minute;
    END LOOP;
END $$;

-- === The 24-hour window ===

-- Meta said that the window is closed, then. A later message from the user opens it again.
ALTER TABLE messaging.service_window ADD COLUMN closed_at timestamptz;

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

-- A portfolio is known by the business id that owns its WABAs or, while that is not known, by the WABA id. `unique_users`: in any 24 hours outside the window; NULL: unlimited.
CREATE TABLE messaging.portfolio (
    id text COLLATE "C" PRIMARY KEY,
    unique_users integer,
    updated_at timestamptz NOT NULL
);

-- Who was written to outside the window, in which minute since 1970. A contact stands here once per portfolio.
CREATE TABLE messaging.quota_member (
    portfolio_id text COLLATE "C" NOT NULL,
    contact_id uuid NOT NULL,
    minute integer NOT NULL,
    PRIMARY KEY (portfolio_id, contact_id)
) WITH (fillfactor = 80);

-- How many of the members stand in each minute.
CREATE TABLE messaging.quota_minute (
    portfolio_id text COLLATE "C" NOT NULL,
    minute integer NOT NULL,
    members integer NOT NULL,
    PRIMARY KEY (portfolio_id, minute)
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
