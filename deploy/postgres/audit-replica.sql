-- The copy of audit logs that a quorum of PostgreSQL servers acknowledges. Run it once, as the database's owner, in a
-- database of its own, on the primary; the standbys get it by replication. Then give the gateway's role its rights:
--   GRANT gateway_audit_writer TO gateway_audit;
--
-- Batches are only ever added: the role may call the functions and read, and nothing else. The functions refuse where a
-- commit would not wait for a standby, so that a setting that was changed is found by the next batch.
--
-- What is older than this by the servers' own clock may lose its records when the log does, and keeps their hashes. Let
-- it be what `audit.retention` says, or more:
--   UPDATE gateway_audit.retention SET keep = '365 days';

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
    leaves bytea,
    hashes bytea,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (origin, first),
    CHECK (size > first),
    CHECK ((leaves IS NULL) <> (hashes IS NULL))
);

CREATE TABLE gateway_audit.retention (
    keep interval NOT NULL CHECK (keep >= '1 day'),
    one boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO gateway_audit.retention (keep) VALUES ('365 days');

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

-- Adds the hashes of records that the log had before it was pruned, to a copy that has no records yet: a copy that is
-- begun late. GA003 when it has some.
CREATE FUNCTION gateway_audit.append_hashes(
    log text, before bigint, before_root bytea, after bigint, after_root bytea, digests bytea
) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    read timestamptz := gateway_audit.check_quorum();
BEGIN
    IF pg_catalog.octet_length(digests) <> 32 * (after - before) THEN
        RAISE EXCEPTION 'not one hash for each record' USING ERRCODE = 'GA002';
    END IF;
    IF before = 0 THEN
        INSERT INTO gateway_audit.heads (origin, size, root) VALUES (log, 0, before_root) ON CONFLICT DO NOTHING;
    END IF;
    UPDATE gateway_audit.heads SET size = after, root = after_root
        WHERE origin = log AND size = before AND root = before_root;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the log does not stand where its writer believes' USING ERRCODE = 'GA002';
    END IF;
    IF EXISTS (SELECT FROM gateway_audit.batches b WHERE b.origin = log AND b.leaves IS NOT NULL) THEN
        RAISE EXCEPTION 'the copy has records already' USING ERRCODE = 'GA003';
    END IF;
    INSERT INTO gateway_audit.batches (origin, first, size, root, hashes)
        VALUES (log, before, after, after_root, digests);
    RETURN read;
END $$;

-- The hashes of the leaves of a batch (RFC 6962: SHA-256 of a zero byte and the leaf), in their order.
CREATE FUNCTION gateway_audit.leaf_hashes(batch bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    hashes bytea := '';
    at int := 1;
    length int;
BEGIN
    WHILE at <= pg_catalog.octet_length(batch) LOOP
        length := (pg_catalog.get_byte(batch, at - 1) << 24) | (pg_catalog.get_byte(batch, at) << 16)
            | (pg_catalog.get_byte(batch, at + 1) << 8) | pg_catalog.get_byte(batch, at + 2);
        hashes := hashes || pg_catalog.sha256('\x00'::bytea || pg_catalog.substring(batch, at + 4, length));
        at := at + 4 + length;
    END LOOP;
    RETURN hashes;
END $$;

-- Lets the records of some batches before `upto` go, the oldest first, and keeps their hashes; returns of how many. Zero
-- when there are none left that are old enough and signed. A change of the log's key stays: old heads need it.
-- Its commit waits for nobody: what another server has not let go yet, it lets go later.
CREATE FUNCTION gateway_audit.prune(log text, upto bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_catalog.set_config('synchronous_commit', 'local', true);
    WITH gone AS (
        UPDATE gateway_audit.batches b SET hashes = gateway_audit.leaf_hashes(b.leaves), leaves = NULL
            WHERE b.origin = log AND b.first IN (
                SELECT c.first FROM gateway_audit.batches c, gateway_audit.retention r, gateway_audit.heads h
                    WHERE c.origin = log AND h.origin = log AND c.leaves IS NOT NULL
                        AND c.size <= upto AND c.size <= h.signed AND c.at < pg_catalog.clock_timestamp() - r.keep
                        AND position('"kind":"log.rotation"'::bytea IN c.leaves) = 0
                    ORDER BY c.first LIMIT 16)
            RETURNING 1)
    SELECT pg_catalog.count(*) FROM gone;
$$;

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
