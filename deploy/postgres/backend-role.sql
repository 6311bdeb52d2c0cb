-- The role that the gateway logs in with: it may read the tables that the policy names, and nothing else, whatever
-- anybody gets past the gateway. Run as the owner of the database:
--
--     psql -v database=payroll -v password="$(cat payroll.password)" -f backend-role.sql payroll
--
-- In pg_hba.conf, let this role in from the gateway's addresses only, with TLS and SCRAM, and let nobody else in
-- from the network who should use the gateway:
--
--     hostssl payroll gateway_ro 192.0.2.10/32 scram-sha-256

\set ON_ERROR_STOP on
set password_encryption = 'scram-sha-256';

begin;
create role gateway_ro login nosuperuser nocreatedb nocreaterole noinherit noreplication password :'password';
alter role gateway_ro set default_transaction_read_only = on;
revoke all on database :"database" from public;
grant connect on database :"database" to gateway_ro;
revoke create on schema public from public;
grant usage on schema public to gateway_ro;
grant select on all tables in schema public to gateway_ro;
commit;
