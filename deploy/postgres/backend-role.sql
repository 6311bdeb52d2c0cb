-- The role that the gateway logs in with: it may read the tables of schema `public` and nothing else, whatever anybody
-- gets past the gateway. Grant it less where the policy names less. Run it as a superuser, in the database:
--
--     psql -f backend-role.sql payroll
--
-- psql asks for the password and sends a hash of it only; `-v password=…` is for programs. A role that exists is set
-- right, so it can be run again.
--
-- In pg_hba.conf, let this role in from the gateway's addresses only, with TLS and SCRAM, and let nobody else in
-- from the network who should use the gateway:
--
--     hostssl payroll gateway_ro 192.0.2.10/32 scram-sha-256

\set ON_ERROR_STOP on
set password_encryption = 'scram-sha-256';

select current_database() as database \gset
select not exists (select from pg_roles where rolname = 'gateway_ro') as missing \gset

begin;
\if :missing
create role gateway_ro;
\endif
alter role gateway_ro login nosuperuser nocreatedb nocreaterole noinherit noreplication nobypassrls;
alter role gateway_ro set default_transaction_read_only = on;
revoke all on database :"database" from public;
grant connect on database :"database" to gateway_ro;
revoke create on schema public from public;
grant usage on schema public to gateway_ro;
grant select on all tables in schema public to gateway_ro;
commit;

\if :{?password}
alter role gateway_ro password :'password';
\else
\password gateway_ro
\endif
