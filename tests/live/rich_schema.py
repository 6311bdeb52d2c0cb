"""A database of one of each kind of thing that PostgreSQL has, and a policy that names part of it.

Everything that the policy hides has `secret_`, `canary` or 638291 in its name, definition or comment, so that a test
can look for these in whatever comes back.
"""

from __future__ import annotations

import re

CANARY = re.compile(rb"canary|[Ss]ecret_|638291")
EXTENSIONS = ("citext", "btree_gist")

SCHEMA = """
create extension citext;
create extension btree_gist;
create schema sales;
create schema secret_hr;
create type sales.mood as enum ('ok', 'bad');
create type sales.secret_type as enum ('canary-label');
create type sales.address as (street text, town text);
create type sales.secret_pair as (secret_left int, secret_right text);
create domain sales.phone_no as varchar(20) check (value ~ '^[0-9+ ]*$');
create table sales.childless (id int, "Customer" int);
create table sales.secret_child () inherits (sales.childless);
create index childless_secret on sales.childless ((id + 638291));
create domain sales.secret_domain as text check (value <> 'canary-domain');
create collation sales.plain (locale = 'C');

create table sales.regions (code char(2) primary key, label text unique not null, secret_budget money);
create table sales."Client Accounts" (
    id uuid primary key default gen_random_uuid(),
    "Customer" int not null,
    "Full Name" varchar(40) not null,
    region char(2) references sales.regions on update cascade,
    mail citext, tel sales.phone_no, m sales.mood default 'ok', tags text[], born date, score float8,
    amount numeric(12, 2) check (amount >= 0), price money, ip inet, raw bytea, ts timestamptz default now(), doc jsonb,
    code varchar(8) collate sales.plain, home sales.address,
    gen int generated always as (42) stored,
    secret_notes text default 'canary-default'
);
create table sales.secret_ledger (
    id int primary key,
    account uuid constraint "Client Accounts_region_fkey" references sales."Client Accounts",
    word text
);
create table sales.orders (
    id int generated always as identity primary key,
    number serial,
    account uuid not null references sales."Client Accounts" on delete cascade,
    "Customer" int not null,
    quantity int check (quantity > 0),
    during tstzrange default tstzrange(now(), null),
    ledger int references sales.secret_ledger,
    secret_margin int default 638291,
    unique (account, number),
    constraint orders_secret_check check (secret_margin > quantity),
    constraint orders_overlap exclude using gist (account with =, during with &&),
    constraint orders_secret_exclude exclude using gist (secret_margin with =, during with &&)
);
alter table sales.secret_ledger add column placed int references sales.orders;
create table sales.order_lines (
    order_id int references sales.orders, line smallint, product text not null,
    primary key (order_id, line)
);
create index orders_quantity on sales.orders (quantity desc nulls last, id) include (number);
create index orders_secret_margin on sales.orders (secret_margin);
create index orders_secret_where on sales.orders (id) where secret_margin = 638291;
create index orders_plain_where on sales.orders (id) where quantity > 5;
create index orders_plain_expression on sales.orders ((quantity * 2));
create index orders_hash on sales.orders using hash (quantity);
alter table sales.orders cluster on orders_quantity;
alter table sales.orders replica identity full;
create statistics sales.orders_numbers on quantity, number from sales.orders;
create statistics sales.orders_secret_numbers on quantity, secret_margin from sales.orders;

create table sales.events (
    id bigserial, "Customer" int not null, at date not null, note text, secret_note text,
    primary key (id, at)
) partition by range (at);
create table sales.events_2025 partition of sales.events for values from ('2025-01-01') to ('2026-01-01');
create table sales.events_2026 partition of sales.events for values from ('2026-01-01') to ('2027-01-01')
    partition by range (at);
create table sales.events_2026_h1 partition of sales.events_2026 for values from ('2026-01-01') to ('2026-07-01');
create table sales.events_secret_rest partition of sales.events_2026 default;
create index events_at on sales.events (at);
create index events_secret_note on sales.events (secret_note);

create table sales.people (id int primary key, name text, "Customer" int);
create table sales.staff (badge text) inherits (sales.people);
create table sales.secret_agents (alias text) inherits (sales.people);
create unlogged table sales.visits (id int, "Customer" int, page text);
create table sales.guarded (id int primary key, "Customer" int, secret_owner text);
alter table sales.guarded enable row level security;
create policy guarded_all on sales.guarded using (true);
create policy secret_policy on sales.guarded using (secret_owner = 'canary-policy');

create view sales.recent as select id, "Customer", note, secret_note from sales.events where note <> 'canary-view';
create view sales.secret_view as select secret_margin from sales.orders;
create materialized view sales.totals as
    select "Customer", count(*) as orders, max(secret_margin) as secret_most from sales.orders group by 1;
create unique index totals_customer on sales.totals ("Customer");
create materialized view sales.secret_totals as select 1 as one;
create sequence sales.tickets_seq;
create sequence sales.secret_seq start 638291;

create function sales.slugify(word text, times int default 1) returns text language sql immutable
    as $$select pg_catalog.lower($1) || 'canary-body'$$;
create function sales.secret_fn(secret_argument text) returns text language sql as $$select 'canary-function'$$;
create procedure sales.secret_procedure() language sql as $$select 1$$;
create aggregate sales.secret_sum(int) (sfunc = int4pl, stype = int);
create operator sales.<#> (leftarg = int, rightarg = int, function = int4pl);
create cast (sales.address as text) with inout;
create function sales.secret_trigger() returns trigger language plpgsql as $$begin return new; end$$;
create trigger secret_trigger before insert on sales.orders for each row
    when (new.secret_margin > 638291) execute function sales.secret_trigger();
create rule secret_rule as on delete to sales.visits do instead nothing;
create text search configuration sales.secret_search (copy = simple);
create foreign data wrapper secret_wrapper;
create server secret_server foreign data wrapper secret_wrapper options (host 'canary-host');
create foreign table sales.secret_foreign (id int) server secret_server;
create publication secret_publication for table sales.secret_ledger, sales.orders;
create role secret_role;
alter default privileges in schema sales grant select on tables to secret_role;
grant insert on sales.orders to secret_role;

comment on schema sales is 'what was sold';
comment on schema secret_hr is 'canary-comment';
comment on table sales.orders is 'one row an order';
comment on column sales.orders.quantity is 'pieces';
comment on column sales.orders.secret_margin is 'canary-comment';
comment on table sales.secret_ledger is 'canary-comment';
comment on constraint orders_secret_check on sales.orders is 'canary-comment';
comment on index sales.orders_secret_margin is 'canary-comment';
comment on index sales.orders_quantity is 'by size';
comment on type sales.secret_type is 'canary-comment';
comment on function sales.secret_fn(text) is 'canary-comment';
comment on trigger secret_trigger on sales.orders is 'canary-comment';
create table secret_hr.salaries (id int primary key, salary int);
create table secret_hr.orders (id int);

insert into sales.regions values ('FR', 'France', 638291), ('DE', 'Germany', 638291);
insert into sales."Client Accounts"
    ("Customer", "Full Name", region, mail, tel, m, tags, born, score, amount, price, ip, raw, doc, code, home)
    select c, 'Name ' || c || i, 'FR', 'Mail' || i || '@X.example', '+33 ' || i, 'ok', array['a', 'b'],
    date '1980-01-01' + i, i / 3.0, i, i, '10.0.0.1', 'abc', '{"a": 1}', 'c' || i,
    row('Rue ' || i, 'Lyon')::sales.address
    from unnest(array[7, 42]) c, generate_series(1, 3) i;
insert into sales.orders (account, "Customer", quantity, during, secret_margin)
    select id, "Customer", 1 + row_number() over (order by id), tstzrange('2026-01-01', '2026-02-01'),
    638290 + row_number() over (order by id) from sales."Client Accounts";
insert into sales.events ("Customer", at, note, secret_note)
    select c, d, 'note ' || c, 'canary-note' from unnest(array[7, 42]) c, unnest('{2025-05-05,2026-05-05}'::date[]) d;
insert into sales.people values (1, 'Ann', 42), (2, 'Bob', 7);
insert into sales.staff values (3, 'Cid', 42, 'x');
insert into sales.secret_agents values (4, 'Dan', 42, 'canary');
insert into sales.visits values (1, 42, 'home'), (2, 7, 'canary-page');
insert into sales.guarded values (1, 42, 'canary-owner');
refresh materialized view sales.totals;
analyze;
"""

POLICY = """
target: payroll
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open, in_progress]}
  auto_approve: masked_reads
  duration: {default: 1h, max: 8h}
  approvers: {teams: [security], count: 1}
limits: {exact_searches_per_hour: 1000}
schemas: [sales, public]
functions: [sales.slugify]
tables:
  sales.regions:
    scope: none
    columns: {code: clear, label: clear}
  sales.Client Accounts:
    scope: '"Customer" = ticket.customer'
    columns:
      id: clear
      Customer: clear
      Full Name: {mask: initials}
      region: clear
      mail: {mask: email, search: exact}
      tel: {mask: partial, keep_end: 2}
      m: clear
      tags: clear
      born: {mask: year}
      score: clear
      amount: {mask: bucket, size: 10}
      price: {mask: 'null'}
      ip: {mask: truncate_ip}
      raw: {mask: redact}
      ts: clear
      doc: {mask: json, paths: {a: clear}}
      code: clear
      home: {mask: 'null'}
      gen: clear
  sales.orders:
    scope: Customer = ticket.customer
    columns: {id: clear, number: clear, account: clear, Customer: clear, quantity: clear, during: clear, ledger: clear}
  sales.order_lines:
    scope: order_id in sales.orders.id
    columns: {order_id: clear, line: clear, product: clear}
  sales.events:
    scope: Customer = ticket.customer
    columns: {id: clear, Customer: clear, at: clear, note: {mask: redact}}
  sales.events_2025:
    scope: Customer = ticket.customer
    columns: {id: clear, Customer: clear, at: clear, note: {mask: redact}}
  sales.events_2026:
    scope: Customer = ticket.customer
    columns: {id: clear, Customer: clear, at: clear, note: {mask: redact}}
  sales.events_2026_h1:
    scope: Customer = ticket.customer
    columns: {id: clear, Customer: clear, at: clear, note: {mask: redact}}
  sales.people:
    scope: Customer = ticket.customer
    columns: {id: clear, name: clear, Customer: clear}
  sales.staff:
    scope: Customer = ticket.customer
    columns: {id: clear, name: clear, Customer: clear, badge: clear}
  sales.childless:
    scope: Customer = ticket.customer
    columns: {id: clear, Customer: clear}
  sales.visits:
    scope: Customer = ticket.customer
    columns: {id: clear, Customer: clear, page: clear}
  sales.guarded:
    scope: Customer = ticket.customer
    columns: {id: clear, Customer: clear}
  sales.recent:
    scope: Customer = ticket.customer
    columns: {id: clear, Customer: clear, note: clear}
  sales.totals:
    scope: Customer = ticket.customer
    columns: {Customer: clear, orders: clear}
"""
