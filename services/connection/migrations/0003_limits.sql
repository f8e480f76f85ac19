-- What Meta says of a connection's account beyond the number itself: the portfolio that owns it, and how many unique users that may write to outside their windows in 24 hours (Meta's word;
-- empty: not known). Asked when the number is connected and anew once a day.
ALTER TABLE connection.connection
    ADD COLUMN portfolio_id text NOT NULL DEFAULT '',
    ADD COLUMN messaging_limit text NOT NULL DEFAULT '',
    ADD COLUMN messaging_limit_at timestamptz,
    ADD COLUMN examine_at timestamptz NOT NULL DEFAULT '-infinity';

CREATE INDEX connection_examine ON connection.connection (examine_at) WHERE state = 1;
