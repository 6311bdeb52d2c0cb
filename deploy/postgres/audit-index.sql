-- The database of a search index that several gateways share (`audit.index` in gateway.yaml), run as a superuser:
--
--     psql -f deploy/postgres/audit-index.sql postgres
--
-- Each gateway makes a schema for its own log in it and reads the others'. It holds what the trail says, in the clear:
-- nobody but the gateways and the auditors' administrators should be able to connect to it. It is derived data: it needs
-- no backup, and may be dropped at any time.

CREATE ROLE gateway_index LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 50;
CREATE DATABASE gateway_index OWNER gateway_index ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE gateway_index FROM PUBLIC;

\connect gateway_index
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- \password gateway_index        -- then put it into a file with mode 0600, or into the environment
