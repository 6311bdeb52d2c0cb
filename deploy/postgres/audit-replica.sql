-- The copy of audit logs that a quorum of PostgreSQL servers acknowledges. Run it once, as the database's owner, in a
-- database of its own, on the primary; the standbys get it by replication. Then give the gateway's role its rights:
--   GRANT gateway_audit_writer TO gateway_audit;
--
-- Batches are only ever added: the role may call the functions and read, and nothing else. The functions refuse where a
-- commit would not wait for a standby, so that a setting that was changed is found by the next batch.

CREATE SCHEMA gateway_audit;

CREATE TABLE gateway_audit.heads (
    origin text PRIMARY KEY,
    size bigint NOT NULL,
    root bytea NOT NULL,
    confirmed bigint NOT NULL DEFAULT 0,
    signed bigint NOT NULL DEFAULT 0,
    note text NOT NULL DEFAULT ''
);

CREATE TABLE gateway_audit.batches (
    origin text NOT NULL REFERENCES gateway_audit.heads,
    first bigint NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    leaves bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (origin, first),
    CHECK (size > first)
);

-- Raises unless a commit waits until at least one other server has flushed it, and says so when it does not. Returns when
-- the configuration was read: asked before and after a commit, it tells whether all this was in force throughout.
CREATE FUNCTION gateway_audit.check_quorum() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_catalog.pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this server is a standby' USING ERRCODE = '25006';
    END IF;
    IF pg_catalog.current_setting('synchronous_standby_names') !~ '[^[:space:]]'
       OR pg_catalog.current_setting('synchronous_standby_names') ~* '^[[:space:]]*(any|first)?[[:space:]]*0'
       OR pg_catalog.current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
       OR pg_catalog.current_setting('client_min_messages') = 'error'
       OR pg_catalog.current_setting('fsync') <> 'on' THEN
        RAISE EXCEPTION 'a commit would not wait for another server' USING ERRCODE = 'GA001';
    END IF;
    RETURN pg_catalog.pg_conf_load_time();
END $$;

-- Adds one batch behind the log's head, or raises GA002 when the head is not what the writer believes.
CREATE FUNCTION gateway_audit.append(
    log text, before bigint, before_root bytea, after bigint, after_root bytea, batch bytea
) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    read timestamptz := gateway_audit.check_quorum();
BEGIN
    IF before = 0 THEN
        INSERT INTO gateway_audit.heads (origin, size, root) VALUES (log, 0, before_root) ON CONFLICT DO NOTHING;
    END IF;
    UPDATE gateway_audit.heads SET size = after, root = after_root
        WHERE origin = log AND size = before AND root = before_root;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the log does not stand where its writer believes' USING ERRCODE = 'GA002';
    END IF;
    INSERT INTO gateway_audit.batches (origin, first, size, root, leaves)
        VALUES (log, before, after, after_root, batch);
    RETURN read;
END $$;

-- A commit of its own behind all others of the log: once it is acknowledged, so is what lies before it.
CREATE FUNCTION gateway_audit.confirm(log text, expected bigint, expected_root bytea) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    read timestamptz := gateway_audit.check_quorum();
BEGIN
    UPDATE gateway_audit.heads SET confirmed = confirmed + 1
        WHERE origin = log AND size = expected AND root = expected_root;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the log does not stand where its writer believes' USING ERRCODE = 'GA002';
    END IF;
    RETURN read;
END $$;

-- The newest signed head, so that the copy can be verified by itself. Never one of fewer records, nor of more than there are.
-- Its commit waits for nobody, since a quorum has the records that it covers: it must not hold up those that follow.
CREATE FUNCTION gateway_audit.sign(log text, covered bigint, signed_note text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_catalog.set_config('synchronous_commit', 'local', true);
    UPDATE gateway_audit.heads SET signed = covered, note = signed_note
        WHERE origin = log AND covered BETWEEN signed AND size;
$$;

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'gateway_audit_writer') THEN
        CREATE ROLE gateway_audit_writer NOLOGIN;
    END IF;
END $$;

REVOKE ALL ON SCHEMA gateway_audit FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA gateway_audit FROM PUBLIC;
GRANT USAGE ON SCHEMA gateway_audit TO gateway_audit_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA gateway_audit TO gateway_audit_writer;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA gateway_audit TO gateway_audit_writer;
