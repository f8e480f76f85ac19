-- Erasure of users: the jobs, what each erased, and what is kept of those who are gone.

-- A job. `subject`, one erasure at a time for each: the contact's UUID, or a keyed hash of an id that no contact has. Steps: 1 stored webhooks, 2 waiting messages are canceled, 3 the contact
-- is removed, 4 what is on its way comes to its end, 5 messages, 6 media and the rest, 7 events; then again from 1 in another pass, until a pass finds nothing.
CREATE TABLE messaging.erasure (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    contact_id uuid,
    created_at timestamptz NOT NULL,
    -- When the contact was gone.
    forgotten_at timestamptz,
    ended_at timestamptz,
    -- When the job goes on; while a process works on it, when that process counts as dead.
    due_at timestamptz NOT NULL,
    lease uuid,
    -- Where a step stands: which of the contacts, and after which event of theirs.
    after bigint NOT NULL DEFAULT 0,
    -- Rows that this pass found so far.
    found bigint NOT NULL DEFAULT 0,
    place integer NOT NULL DEFAULT 0,
    pass integer NOT NULL DEFAULT 1,
    step smallint NOT NULL DEFAULT 1,
    -- Ids of the user came to light after stored webhooks were first looked through.
    rescan boolean NOT NULL DEFAULT false,
    subject bytea NOT NULL,
    -- The contact, and those that were merged into it.
    contacts uuid[] NOT NULL,
    -- The user's ids: sealed, and as keyed hashes. NULL once it is done.
    identities bytea,
    hashes bytea[],
    digest bytea,
    CONSTRAINT forgotten_when_done CHECK (ended_at IS NULL OR (identities IS NULL AND hashes IS NULL AND digest IS NOT NULL))
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX erasure_subject ON messaging.erasure (application_id, subject) WHERE ended_at IS NULL;
CREATE INDEX erasure_due ON messaging.erasure (due_at) WHERE ended_at IS NULL;
CREATE INDEX erasure_application ON messaging.erasure (application_id, id);
CREATE INDEX erasure_forgotten ON messaging.erasure (forgotten_at);

-- The proof: rows that were deleted or blanked, written by the transactions that did it. Services: 1 webhook, 2 messaging, 3 tracking; of these two the sum by their own word.
CREATE TABLE messaging.erasure_count (
    erasure_id uuid NOT NULL REFERENCES messaging.erasure (id) ON DELETE CASCADE,
    service smallint NOT NULL,
    what text COLLATE "C" NOT NULL,
    rows bigint NOT NULL,
    PRIMARY KEY (erasure_id, service, what)
);

-- That users who are gone want no marketing, by keyed hashes of their ids: a new contact of the same user gets it back. `erasure_id` holds together what was one user's.
CREATE TABLE messaging.suppression_kept (
    application_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    at timestamptz NOT NULL,
    source smallint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (application_id, hash, connection_id)
);

CREATE INDEX suppression_kept_user ON messaging.suppression_kept (application_id, erasure_id);

-- The user of its message was erased: what Meta tells of it is dropped.
ALTER TABLE messaging.wamid ADD COLUMN erased boolean NOT NULL DEFAULT false;

-- Whose message it came with. NULL: the application's own.
ALTER TABLE messaging.file ADD COLUMN contact_id uuid;

CREATE INDEX file_contact ON messaging.file (contact_id) WHERE contact_id IS NOT NULL;

-- Kinds of messaging.contact_event are also: 4 erased, by the erasure `other_id`.

-- Takes from messages what they say and to whom, and what Meta calls them; those that were canceled get the reason. One statement for each message, so that each finds its partition by its key;
-- the plans must not depend on statistics. The wamids, and the idempotency keys, are found by their BRIN indexes.
CREATE FUNCTION messaging.blank_messages(application uuid, ids uuid[], canceled text)
RETURNS TABLE (messages bigint, endings bigint, wamids bigint, keys bigint) LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    one uuid;
    touched bigint;
    mine uuid[] := '{}';
BEGIN
    messages := 0;
    endings := 0;
    FOR one IN SELECT DISTINCT i.id FROM unnest(ids) AS i (id) ORDER BY i.id LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM messaging.message m WHERE m.id = one AND m.application_id = application);
        mine := mine || one;
        UPDATE messaging.message m SET sealed = '', traceparent = NULL WHERE m.id = one AND m.sealed <> '';
        GET DIAGNOSTICS touched = ROW_COUNT;
        messages := messages + touched;
        UPDATE messaging.ending e SET wamid_sealed = NULL, reason = CASE WHEN e.state = 7 THEN coalesce(e.reason, canceled) ELSE e.reason END
        WHERE e.message_id = one AND (e.wamid_sealed IS NOT NULL OR (e.state = 7 AND e.reason IS NULL));
        GET DIAGNOSTICS touched = ROW_COUNT;
        endings := endings + touched;
    END LOOP;
    UPDATE messaging.wamid w SET erased = true WHERE w.message_id = ANY (mine) AND NOT w.erased;
    GET DIAGNOSTICS wamids = ROW_COUNT;
    UPDATE messaging.idempotency i SET fingerprint = '' WHERE i.message_id = ANY (mine) AND i.application_id = application AND i.fingerprint <> '';
    GET DIAGNOSTICS keys = ROW_COUNT;
    RETURN NEXT;
END $$;
