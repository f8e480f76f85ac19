-- Everything the connection service owns. Times come from now_(), which a test database replaces.

CREATE FUNCTION connection.now_() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()';

-- The isolation unit.
CREATE TABLE connection.application (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT connection.now_()
);
CREATE UNIQUE INDEX application_age ON connection.application (created_at, id);

-- Keys of applications and, without an application, of operators. Only a hash of the secret part is known here.
CREATE TABLE connection.key (
    id uuid PRIMARY KEY,
    application_id uuid REFERENCES connection.application (id),
    name text NOT NULL CHECK (name <> ''),
    environment text NOT NULL CHECK (environment ~ '^[a-z0-9]{1,16}$'),
    secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT connection.now_(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT key_operator CHECK ((application_id IS NULL) = (environment = 'op')),
    CONSTRAINT key_scopes CHECK ((application_id IS NULL) = (scopes = '{}'))
);
CREATE INDEX key_application ON connection.key (application_id, created_at, id);

-- Access tokens as Meta granted them. One serves every number that was connected with it; one that serves none is deleted.
CREATE TABLE connection.token_grant (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL REFERENCES connection.application (id),
    token_sealed bytea NOT NULL,
    expires_at timestamptz,
    data_access_expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT connection.now_()
);

-- Connected numbers. state has the numbers of outeract.connection.v1.ConnectionState.
CREATE TABLE connection.connection (
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL REFERENCES connection.application (id),
    grant_id uuid NOT NULL REFERENCES connection.token_grant (id),
    version bigint NOT NULL CHECK (version > 0),
    token_version bigint NOT NULL CHECK (token_version > 0),
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
    paused boolean NOT NULL DEFAULT false,
    name text NOT NULL CHECK (name <> ''),
    waba_id text NOT NULL,
    phone_number_id text NOT NULL,
    display_number_sealed bytea NOT NULL,
    verified_name text NOT NULL,
    throughput_per_second integer NOT NULL CHECK (throughput_per_second > 0),
    quality_rating text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT connection.now_(),
    updated_at timestamptz NOT NULL DEFAULT connection.now_(),
    -- Connecting a number again finds its connection, ended ones too: ids stay.
    CONSTRAINT connection_number_once UNIQUE (application_id, phone_number_id)
);
-- One holder per number in the whole installation, until it disconnects (4).
CREATE UNIQUE INDEX connection_number_held ON connection.connection (phone_number_id) WHERE state <> 4;
CREATE UNIQUE INDEX connection_age ON connection.connection (application_id, created_at, id);
CREATE INDEX connection_grant ON connection.connection (grant_id);

-- Connections whose newest version a sibling service has not confirmed yet.
CREATE TABLE connection.outbox (
    target text NOT NULL CHECK (target IN ('messaging', 'webhook')),
    connection_id uuid NOT NULL REFERENCES connection.connection (id),
    version bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (target, connection_id)
);

-- Who did what, newest read first.
CREATE TABLE connection.audit (
    id uuid NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT connection.now_(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL CHECK (octet_length(detail) <= 4096),
    PRIMARY KEY (occurred_at, id)
);

-- What Meta last confirmed of the app's webhook subscription: at most one row.
CREATE TABLE connection.app_subscription (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    fingerprint bytea NOT NULL,
    confirmed_at timestamptz NOT NULL DEFAULT connection.now_()
);
