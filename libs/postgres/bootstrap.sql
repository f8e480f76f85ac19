-- Roles and schemas of the four services. Run it once per database, as a superuser or as a role with CREATEROLE that owns the database;
-- running it again changes nothing that is as it should be. One transaction.
--
--   psql "$ADMIN_URL" -1 -v ON_ERROR_STOP=1 -f bootstrap.sql
--
-- Passwords: roles are made without one. Give them one with psql's \password, or in the same session before this file:
--
--   psql "$ADMIN_URL" -1 -v ON_ERROR_STOP=1 -c "SET outeract.tracking_password = '…'" -f bootstrap.sql
--
-- (outeract.connection_password, outeract.messaging_password, outeract.webhook_password, outeract.tracking_password; each is optional).
DO $bootstrap$
DECLARE
    service  text;
    owner    text;
    password text;
    setting  text;
    super    boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
BEGIN
    -- Roles belong to the whole cluster: two databases may be set up at a time.
    PERFORM pg_advisory_xact_lock(7381240917523384101);

    FOREACH service IN ARRAY ARRAY['connection', 'messaging', 'webhook', 'tracking'] LOOP
        owner := 'outeract_' || service;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = owner) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS', owner);
        END IF;

        password := current_setting('outeract.' || service || '_password', true);
        IF password <> '' THEN
            EXECUTE format('ALTER ROLE %I PASSWORD %L', owner, password);
        END IF;

        -- Bounds that hold behind a connection pooler too, where a client's own SET may land on another server connection.
        FOREACH setting IN ARRAY ARRAY[
            'statement_timeout=5s', 'lock_timeout=2s', 'idle_in_transaction_session_timeout=10s', 'search_path=pg_catalog'
        ] LOOP
            IF NOT EXISTS (
                SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
                WHERE r.rolname = owner AND s.setdatabase = 0 AND setting = ANY (s.setconfig)
            ) THEN
                EXECUTE format('ALTER ROLE %I SET %I = %L', owner, split_part(setting, '=', 1), split_part(setting, '=', 2));
            END IF;
        END LOOP;

        -- Who is no superuser may hand a schema only to a role that it is a member of.
        IF NOT super THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', owner);
        END IF;
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, owner);
        EXECUTE format('ALTER SCHEMA %I OWNER TO %I', service, owner);
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', service);
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC', owner);
        IF NOT super THEN
            EXECUTE format('REVOKE %I FROM CURRENT_USER', owner);
        END IF;

        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), owner);
    END LOOP;

    -- Only the four roles and the owner come in, and nobody gets a corner of its own.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
END
$bootstrap$;
