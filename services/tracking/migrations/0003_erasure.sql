-- Users who were erased from the log.

-- What the event said of its user is gone. NULL: it is not. No event is appended with it.
ALTER TABLE tracking.event ADD COLUMN erased boolean;

-- What was erased for each erasure that messaging asked for.
CREATE TABLE tracking.erasure (
    at timestamptz NOT NULL,
    id uuid PRIMARY KEY,
    application_id uuid NOT NULL,
    events bigint NOT NULL DEFAULT 0,
    deliveries bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE INDEX erasure_age ON tracking.erasure (at);

-- The next events of a contact in the log, at most `most`. The plan must not depend on statistics, as in tracking.read.
CREATE FUNCTION tracking.of_contact(application uuid, contact uuid, after bigint, most bigint)
    RETURNS TABLE ("position" bigint, event_id uuid, event_type smallint)
    LANGUAGE plpgsql STABLE ROWS 100
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT l.position, l.event_id, l.event_type
        FROM tracking.log l
        -- Not by the primary key, which would lead through everybody's events.
        WHERE l.contact_id = contact AND NOT l.application_id IS DISTINCT FROM application AND l.position > after
        ORDER BY l.position
        LIMIT most;
END $$;

-- Events with their children, at most `most` of each, those that are not erased first. `lows` and `highs` are the lowest and the highest ids with the events' time bits, as in
-- tracking.family.
CREATE FUNCTION tracking.kin(application uuid, events uuid[], lows uuid[], highs uuid[], most bigint)
    RETURNS TABLE (id uuid, erased boolean, body bytea)
    LANGUAGE plpgsql STABLE ROWS 100
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT e.id, coalesce(e.erased, false), e.body
        FROM unnest(events, lows, highs) AS a (event, low, high)
        CROSS JOIN LATERAL (
            SELECT f.id, f.erased, f.body
            FROM tracking.event f
            WHERE f.id >= a.low AND f.id <= a.high AND f.application_id = application AND (f.id = a.event OR f.origin_event_id = a.event)
            ORDER BY f.erased NULLS FIRST, f.id
            LIMIT most
        ) e;
END $$;

-- Takes what events said of their user: one statement for each, so that each finds its partition by its key. Gives how many were not erased before.
CREATE FUNCTION tracking.blank(application uuid, events uuid[], bodies bytea[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    one record;
    done bigint := 0;
BEGIN
    FOR one IN SELECT n.id, n.body FROM unnest(events, bodies) AS n (id, body) ORDER BY n.id LOOP
        UPDATE tracking.event e SET body = one.body, erased = true WHERE e.id = one.id AND e.application_id = application AND e.erased IS NULL;
        IF FOUND THEN
            done := done + 1;
        END IF;
    END LOOP;
    RETURN done;
END $$;
