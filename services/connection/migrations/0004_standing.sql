-- What Meta last told of a connection's account and number, by what it is about (aspect: see store/standing.rs): of each the latest by the time it occurred.
CREATE TABLE connection.told (
    connection_id uuid NOT NULL REFERENCES connection.connection (id),
    aspect smallint NOT NULL CHECK (aspect BETWEEN 1 AND 7),
    occurred_at timestamptz NOT NULL,
    -- Meta's words.
    word text NOT NULL,
    detail text NOT NULL,
    -- JSON: what the account may not do, and when that ends in unix seconds, 0 where it is not known.
    restrictions text NOT NULL CHECK (octet_length(restrictions) <= 65536),
    -- The state that the connection is in because of it (3 or 4; 1: none; 2: active, but it sends nothing outside windows), until then; 'infinity': until something newer is told.
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
    until timestamptz,
    PRIMARY KEY (connection_id, aspect),
    CONSTRAINT told_until CHECK ((state = 1) = (until IS NULL))
);

-- Why a connection is not active, in Meta's word; when that, or what follows, ends by itself; and whether it sends nothing outside windows.
ALTER TABLE connection.connection
    ADD COLUMN state_reason text NOT NULL DEFAULT '',
    ADD COLUMN resume_at timestamptz,
    ADD COLUMN restricted_outside boolean NOT NULL DEFAULT false;

CREATE INDEX connection_waba ON connection.connection (waba_id);
CREATE INDEX connection_resume ON connection.connection (resume_at) WHERE resume_at IS NOT NULL;
