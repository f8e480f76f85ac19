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
