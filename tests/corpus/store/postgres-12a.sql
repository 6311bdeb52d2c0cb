-- A store of version 12 as it first was, made and filled by the program of that version. Never edited.
-- {"totp": "YNHLUIEZYDO337N7IGLOZLH2SZL4S2TZ", "user": "alice+SUP-1423", "pass": "gwp_7lqcjwl2c4euxmaj45ednd2l5huiu72u"}
CREATE SCHEMA gateway_store;
CREATE TABLE gateway_store.acts (
    id text NOT NULL,
    does text NOT NULL,
    subject json NOT NULL,
    sealed bytea,
    reason text NOT NULL,
    person text NOT NULL,
    state text NOT NULL,
    filed_at bigint NOT NULL,
    decided_by text DEFAULT ''::text NOT NULL,
    decided_at bigint,
    decision_reason text DEFAULT ''::text NOT NULL,
    done_at bigint
);
CREATE TABLE gateway_store.alert_memory (
    origin text NOT NULL,
    size bigint NOT NULL,
    data bytea NOT NULL
);
CREATE TABLE gateway_store.approvals (
    request_id text NOT NULL,
    person text NOT NULL,
    at bigint NOT NULL,
    in_name_of text DEFAULT ''::text NOT NULL
);
CREATE TABLE gateway_store.budget_shares (
    origin text NOT NULL,
    data bytea NOT NULL
);
CREATE TABLE gateway_store.budget_summary (
    data bytea NOT NULL,
    origin text DEFAULT ''::text NOT NULL
);
CREATE TABLE gateway_store.cases (
    id text NOT NULL,
    rule text NOT NULL,
    about text NOT NULL,
    severity text NOT NULL,
    title text NOT NULL,
    people json NOT NULL,
    state text NOT NULL,
    version integer NOT NULL,
    opened_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    investigator text DEFAULT ''::text NOT NULL,
    finding text DEFAULT ''::text NOT NULL,
    closed_by text DEFAULT ''::text NOT NULL,
    evidence json NOT NULL,
    sign_offs json NOT NULL
);
CREATE TABLE gateway_store.changes (
    number bigint NOT NULL,
    token text NOT NULL,
    what text NOT NULL,
    "row" text NOT NULL,
    at bigint NOT NULL
);
CREATE SEQUENCE gateway_store.changes_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE gateway_store.changes_number_seq OWNED BY gateway_store.changes.number;
CREATE TABLE gateway_store.delegations (
    id text NOT NULL,
    delegator text NOT NULL,
    delegate text NOT NULL,
    reason text NOT NULL,
    starts_at bigint NOT NULL,
    ends_at bigint NOT NULL,
    ended_at bigint
);
CREATE TABLE gateway_store.factors (
    person text NOT NULL,
    kind text NOT NULL,
    sealed bytea NOT NULL,
    enrolled_at bigint NOT NULL,
    last_step bigint NOT NULL
);
CREATE TABLE gateway_store.grants (
    id text NOT NULL,
    request_id text NOT NULL,
    person text NOT NULL,
    target text NOT NULL,
    ticket_system text NOT NULL,
    ticket_id text NOT NULL,
    customers json NOT NULL,
    reveal json NOT NULL,
    write boolean NOT NULL,
    state text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    approved_by json NOT NULL,
    ended_reason text DEFAULT ''::text NOT NULL,
    statement text DEFAULT ''::text NOT NULL,
    spent_by text DEFAULT ''::text NOT NULL,
    spent_at bigint,
    break_glass boolean DEFAULT false NOT NULL
);
CREATE TABLE gateway_store.holds (
    id text NOT NULL,
    subject json NOT NULL,
    reason text NOT NULL,
    asked_by text NOT NULL,
    confirmed_by text NOT NULL,
    set_at bigint NOT NULL,
    lifted_at bigint
);
CREATE TABLE gateway_store.invitations (
    hash bytea NOT NULL,
    person text NOT NULL,
    created_by text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    sealed bytea,
    used_at bigint
);
CREATE TABLE gateway_store.lockouts (
    lane text NOT NULL,
    failures integer NOT NULL,
    failed_at bigint NOT NULL
);
CREATE TABLE gateway_store.notices (
    id text NOT NULL,
    sink text NOT NULL,
    body json NOT NULL,
    state text NOT NULL,
    made_at bigint NOT NULL,
    next_at bigint NOT NULL,
    tries integer DEFAULT 0 NOT NULL
);
CREATE TABLE gateway_store.passes (
    id text NOT NULL,
    grant_id text NOT NULL,
    person text NOT NULL,
    login text NOT NULL,
    target text NOT NULL,
    ticket_id text NOT NULL,
    scram text NOT NULL,
    factor text NOT NULL,
    factor_at bigint NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    superseded boolean DEFAULT false NOT NULL,
    revoked boolean DEFAULT false NOT NULL
);
CREATE TABLE gateway_store.previews (
    request_id text NOT NULL,
    person text NOT NULL,
    seen text NOT NULL,
    at bigint NOT NULL
);
CREATE TABLE gateway_store.provider_logins (
    login text NOT NULL,
    person text NOT NULL
);
CREATE TABLE gateway_store.provider_people (
    person text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    login text NOT NULL,
    name text NOT NULL,
    email text NOT NULL,
    teams json NOT NULL,
    gone boolean NOT NULL,
    login_at bigint NOT NULL,
    confirmed_at bigint NOT NULL,
    sealed bytea
);
CREATE TABLE gateway_store.recertification_lines (
    review_id text NOT NULL,
    number integer NOT NULL,
    person text NOT NULL,
    login text NOT NULL,
    name text NOT NULL,
    target text NOT NULL,
    what text NOT NULL,
    teams json NOT NULL,
    last_use bigint,
    uses integer NOT NULL,
    withdrawn boolean NOT NULL,
    decision text DEFAULT ''::text NOT NULL,
    decided_by text DEFAULT ''::text NOT NULL,
    decided_at bigint,
    reason text DEFAULT ''::text NOT NULL
);
CREATE TABLE gateway_store.recertifications (
    id text NOT NULL,
    state text NOT NULL,
    started_by text NOT NULL,
    started_at bigint NOT NULL,
    due_at bigint NOT NULL,
    reminded_at bigint,
    closed_by text DEFAULT ''::text NOT NULL,
    closed_at bigint,
    document bytea,
    record bigint
);
CREATE TABLE gateway_store.recovery_codes (
    hash bytea NOT NULL,
    person text NOT NULL,
    used_at bigint
);
CREATE TABLE gateway_store.requests (
    id text NOT NULL,
    person text NOT NULL,
    target text NOT NULL,
    ticket_system text NOT NULL,
    ticket_id text NOT NULL,
    reason text NOT NULL,
    reveal json NOT NULL,
    write boolean NOT NULL,
    duration_s integer NOT NULL,
    state text NOT NULL,
    created_at bigint NOT NULL,
    decided_at bigint,
    decision_reason text DEFAULT ''::text NOT NULL,
    statement text DEFAULT ''::text NOT NULL,
    digest text DEFAULT ''::text NOT NULL,
    extends text DEFAULT ''::text NOT NULL
);
CREATE TABLE gateway_store.reviews (
    grant_id text NOT NULL,
    person text NOT NULL,
    target text NOT NULL,
    ticket_id text NOT NULL,
    reason text NOT NULL,
    state text NOT NULL,
    opened_at bigint NOT NULL,
    due_at bigint NOT NULL,
    reviewed_by text DEFAULT ''::text NOT NULL,
    reviewed_at bigint,
    note text DEFAULT ''::text NOT NULL
);
CREATE TABLE gateway_store.schema_version (
    version integer NOT NULL
);
CREATE SEQUENCE gateway_store.schema_version_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE gateway_store.schema_version_version_seq OWNED BY gateway_store.schema_version.version;
CREATE TABLE gateway_store.sealing_keys (
    id text NOT NULL,
    use text NOT NULL,
    customer text NOT NULL,
    month text NOT NULL,
    wrapped bytea NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE gateway_store.suspensions (
    person text NOT NULL,
    suspended_by text NOT NULL,
    reason text NOT NULL,
    at bigint NOT NULL
);
CREATE TABLE gateway_store.ticket_comments (
    grant_id text NOT NULL,
    what text NOT NULL,
    system text NOT NULL,
    ticket_id text NOT NULL,
    text text NOT NULL,
    created_at bigint NOT NULL,
    tries integer NOT NULL,
    next_at bigint NOT NULL,
    done_at bigint
);
CREATE TABLE gateway_store.tokens (
    hash bytea NOT NULL,
    id text NOT NULL,
    person text NOT NULL,
    factor text NOT NULL,
    factor_at bigint NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE gateway_store.withdrawals (
    person text NOT NULL,
    target text NOT NULL,
    what text NOT NULL,
    review_id text NOT NULL,
    at bigint NOT NULL
);
ALTER TABLE ONLY gateway_store.changes ALTER COLUMN number SET DEFAULT nextval('gateway_store.changes_number_seq'::regclass);
ALTER TABLE ONLY gateway_store.schema_version ALTER COLUMN version SET DEFAULT nextval('gateway_store.schema_version_version_seq'::regclass);
INSERT INTO gateway_store.acts VALUES ('id of old', 'does of old', '[]', '\x7365616c6564206f66206f6c64', 'reason of old', 'p9', 'done', 1772442000000000, 'decided_by of old', 1772442000000000, 'decision_reason of old', 1772442000000000);
INSERT INTO gateway_store.alert_memory VALUES ('origin of old', 1, '\x64617461206f66206f6c64');
INSERT INTO gateway_store.approvals VALUES ('req_2xfbizqwulw62sbs', 'p9', 1772442000000000, 'in_name_of of old');
INSERT INTO gateway_store.budget_shares VALUES ('origin of old', '\x64617461206f66206f6c64');
INSERT INTO gateway_store.budget_summary VALUES ('\x64617461206f66206f6c64', 'origin of old');
INSERT INTO gateway_store.cases VALUES ('id of old', 'rule of old', 'about of old', 'severity of old', 'title of old', '[]', 'closed', 1, 1772442000000000, 1772442000000000, 'investigator of old', 'finding of old', 'closed_by of old', '[]', '[]');
INSERT INTO gateway_store.changes VALUES (1, '06dcbd6c8b0c', '', 'invitations', 1795880742920613);
INSERT INTO gateway_store.changes VALUES (2, '44dede7f1032', '', 'invitations', 1795880742927502);
INSERT INTO gateway_store.changes VALUES (3, 'a02b272fd604', '', 'factors', 1795880742931394);
INSERT INTO gateway_store.changes VALUES (4, 'c53a684ab9ed', '', 'invitations', 1795880742931394);
INSERT INTO gateway_store.changes VALUES (5, 'dce0140b004a', '', 'recovery_codes', 1795880742931394);
INSERT INTO gateway_store.changes VALUES (6, '993e7ec4463c', '', 'factors', 1795880742934455);
INSERT INTO gateway_store.changes VALUES (7, '14f5244f943d', 'person', 'p1', 1795880742938291);
INSERT INTO gateway_store.changes VALUES (8, '1aa2d578ceb1', 'grant', 'grant_igkg2boa7l5fa22a', 1795880742944816);
INSERT INTO gateway_store.changes VALUES (9, 'b6004d275521', 'grant', 'grant_igkg2boa7l5fa22a', 1795880742955912);
INSERT INTO gateway_store.changes VALUES (10, 'b167678fd253', '', 'requests', 1795880742958660);
INSERT INTO gateway_store.changes VALUES (11, '2ac597476e32', '', 'acts', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (12, 'a5555b4b078f', '', 'approvals', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (13, '4c6c4e510956', '', 'delegations', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (14, '6e48b0dabdda', '', 'holds', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (15, '866a7efe7b03', '', 'provider_logins', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (16, 'ca1caa513a13', '', 'provider_people', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (17, 'bcffc0669894', '', 'recertification_lines', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (18, '57a6d771a61f', '', 'recertifications', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (19, '1ad60143ce90', '', 'reviews', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (20, '8b4201372c75', '', 'suspensions', 1795880742985124);
INSERT INTO gateway_store.changes VALUES (21, '490bdb2c4dc7', '', 'withdrawals', 1795880742985124);
INSERT INTO gateway_store.delegations VALUES ('id of old', 'delegator of old', 'delegate of old', 'reason of old', 1772442000000000, 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.factors VALUES ('p1', 'totp', '\xbd93cc67445de21e0ef30355d078b254b821a921ff2c477f26c943beebd95fcf6b985e1e12b7a33b11b922911c1c04e832102df73428e56521086344', 1772442000000000, 59081401);
INSERT INTO gateway_store.grants VALUES ('grant_igkg2boa7l5fa22a', 'req_a3a24fp6mr5pf3oz', 'p1', 'payroll', 'memory', 'SUP-1423', '["42"]', '[]', false, 'active', 1772442060000000, 1772445660000000, '[]', '', '', '', NULL, false);
INSERT INTO gateway_store.holds VALUES ('id of old', '[]', 'reason of old', 'asked_by of old', 'confirmed_by of old', 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.invitations VALUES ('\xadde94d33bb28b10d5459c0c7dcd05a6f85253c2ce344af9740323d8cc9c2e33', 'p1', 'local', 1772442000000000, 1772701200000000, NULL, 1772442000000000);
INSERT INTO gateway_store.lockouts VALUES ('lane of old', 1, 1772442000000000);
INSERT INTO gateway_store.notices VALUES ('id of old', 'sink of old', '[]', 'sent', 1772442000000000, 1772442000000000, 1);
INSERT INTO gateway_store.passes VALUES ('pass_plfsku4tw2optm7p', 'grant_igkg2boa7l5fa22a', 'p1', 'alice', 'payroll', 'SUP-1423', 'SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$5KXDavYgGDA8gbrqX6d7AuRfsG5Hux6h4ZlHCeyt5OA=:PcNb1Jg1QYKq6p6yv2wS69+La2VZaIXWe7aYlQjJpP4=', 'totp', 1772442030000000, 1772442060000000, 1772445660000000, false, false);
INSERT INTO gateway_store.previews VALUES ('req_2xfbizqwulw62sbs', 'p9', 'seen of old', 1772442000000000);
INSERT INTO gateway_store.provider_logins VALUES ('login of old', 'p9');
INSERT INTO gateway_store.provider_people VALUES ('p9', 'issuer of old', 'subject of old', 'login of old', 'name of old', 'email of old', '[]', false, 1772442000000000, 1772442000000000, '\x7365616c6564206f66206f6c64');
INSERT INTO gateway_store.recertification_lines VALUES ('id of old', 1, 'p9', 'login of old', 'name of old', 'target of old', 'what of old', '[]', 1772442000000000, 1, false, 'decision of old', 'decided_by of old', 1772442000000000, 'reason of old');
INSERT INTO gateway_store.recertifications VALUES ('id of old', 'closed', 'started_by of old', 1772442000000000, 1772442000000000, 1772442000000000, 'closed_by of old', 1772442000000000, '\x646f63756d656e74206f66206f6c64', 1);
INSERT INTO gateway_store.recovery_codes VALUES ('\x93d0192596414495676c361595b5b55353b428275e903c133c3d28e7a797fc9d', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x3768b77501a0aabcb9515efcdf23d722ffb2d74d6eb1b9c7010680f59b028b34', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xf59f315b89349c276f69507ff0b02422180b66f39561b1430ac0e56a0e7279c1', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x749237037daa65e951686c1ec43c9348d98a2ecb29b8ea15db82ff5084d8a8da', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x13ec518263f5398e3fbff90b2c1631c9d371c26702a3b0a6a5ac28c8dc32fd83', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xcd598197892ac5d731797ac960e6f0b481756e110e14af28bb582c3dce70a392', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x6cf5ce8988c6f3c65ab22a1b3f44641021ed6f4d1c38ce4c78e563c0ec22da5d', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x474010504e6fc3ee2fc106f8cf5b88817ba3e54234ff180ecd55c6cae56f6908', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x52b1876003d20c7970168743c7bafc3b48c5c3f9146716613e3f56951f7fc4fe', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xb0cca136be223ecd537ecf8e8cb4da48ac827fb5fcab32c9827338c89d7ae929', 'p1', NULL);
INSERT INTO gateway_store.requests VALUES ('req_a3a24fp6mr5pf3oz', 'p1', 'payroll', 'memory', 'SUP-1423', '', '[]', false, 3600, 'approved', 1772442060000000, 1772442060000000, 'approved by policy', '', '', '');
INSERT INTO gateway_store.requests VALUES ('req_2xfbizqwulw62sbs', 'p1', 'payroll', 'memory', 'SUP-1424', 'a call', '[["public.employees", "email"]]', false, 3600, 'pending', 1772442060000000, NULL, '', '', '', '');
INSERT INTO gateway_store.reviews VALUES ('grant_igkg2boa7l5fa22a', 'p9', 'target of old', 'ticket_id of old', 'reason of old', 'justified', 1772442000000000, 1772442000000000, 'reviewed_by of old', 1772442000000000, 'note of old');
INSERT INTO gateway_store.schema_version VALUES (1);
INSERT INTO gateway_store.schema_version VALUES (2);
INSERT INTO gateway_store.schema_version VALUES (3);
INSERT INTO gateway_store.schema_version VALUES (4);
INSERT INTO gateway_store.schema_version VALUES (5);
INSERT INTO gateway_store.schema_version VALUES (6);
INSERT INTO gateway_store.schema_version VALUES (7);
INSERT INTO gateway_store.schema_version VALUES (8);
INSERT INTO gateway_store.schema_version VALUES (9);
INSERT INTO gateway_store.schema_version VALUES (10);
INSERT INTO gateway_store.schema_version VALUES (11);
INSERT INTO gateway_store.schema_version VALUES (12);
INSERT INTO gateway_store.sealing_keys VALUES ('id of old', 'use of old', 'customer of old', 'month of old', '\x77726170706564206f66206f6c64', 1772442000000000);
INSERT INTO gateway_store.suspensions VALUES ('p9', 'suspended_by of old', 'reason of old', 1772442000000000);
INSERT INTO gateway_store.ticket_comments VALUES ('grant_id of old', 'what of old', 'system of old', 'ticket_id of old', 'text of old', 1772442000000000, 1, 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.tokens VALUES ('\x5d9a996b5395f9897efbd5e02e64d500155c0e3754ea5ef2bf9d4e7cd068e045', 'signin_x7jglwe75biou3rg', 'p1', 'totp', 1772442030000000, 1772442030000000, 1772470830000000);
INSERT INTO gateway_store.withdrawals VALUES ('p9', 'target of old', 'what of old', 'review_id of old', 1772442000000000);
SELECT pg_catalog.setval('gateway_store.changes_number_seq', 21, true);
SELECT pg_catalog.setval('gateway_store.schema_version_version_seq', 1, false);
ALTER TABLE ONLY gateway_store.acts
    ADD CONSTRAINT acts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.alert_memory
    ADD CONSTRAINT alert_memory_pkey PRIMARY KEY (origin);
ALTER TABLE ONLY gateway_store.approvals
    ADD CONSTRAINT approvals_pkey PRIMARY KEY (request_id, person);
ALTER TABLE ONLY gateway_store.budget_shares
    ADD CONSTRAINT budget_shares_pkey PRIMARY KEY (origin);
ALTER TABLE ONLY gateway_store.cases
    ADD CONSTRAINT cases_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (number);
ALTER TABLE ONLY gateway_store.delegations
    ADD CONSTRAINT delegations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.factors
    ADD CONSTRAINT factors_pkey PRIMARY KEY (person);
ALTER TABLE ONLY gateway_store.grants
    ADD CONSTRAINT grants_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.grants
    ADD CONSTRAINT grants_request_id_key UNIQUE (request_id);
ALTER TABLE ONLY gateway_store.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (hash);
ALTER TABLE ONLY gateway_store.lockouts
    ADD CONSTRAINT lockouts_pkey PRIMARY KEY (lane);
ALTER TABLE ONLY gateway_store.notices
    ADD CONSTRAINT notices_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.passes
    ADD CONSTRAINT passes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.previews
    ADD CONSTRAINT previews_pkey PRIMARY KEY (request_id, person);
ALTER TABLE ONLY gateway_store.provider_logins
    ADD CONSTRAINT provider_logins_pkey PRIMARY KEY (login);
ALTER TABLE ONLY gateway_store.provider_people
    ADD CONSTRAINT provider_people_pkey PRIMARY KEY (person);
ALTER TABLE ONLY gateway_store.recertification_lines
    ADD CONSTRAINT recertification_lines_pkey PRIMARY KEY (review_id, number);
ALTER TABLE ONLY gateway_store.recertifications
    ADD CONSTRAINT recertifications_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.recovery_codes
    ADD CONSTRAINT recovery_codes_pkey PRIMARY KEY (hash);
ALTER TABLE ONLY gateway_store.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.reviews
    ADD CONSTRAINT reviews_pkey PRIMARY KEY (grant_id);
ALTER TABLE ONLY gateway_store.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);
ALTER TABLE ONLY gateway_store.sealing_keys
    ADD CONSTRAINT sealing_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY gateway_store.sealing_keys
    ADD CONSTRAINT sealing_keys_use_customer_month_key UNIQUE (use, customer, month);
ALTER TABLE ONLY gateway_store.suspensions
    ADD CONSTRAINT suspensions_pkey PRIMARY KEY (person);
ALTER TABLE ONLY gateway_store.ticket_comments
    ADD CONSTRAINT ticket_comments_pkey PRIMARY KEY (grant_id, what);
ALTER TABLE ONLY gateway_store.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (hash);
ALTER TABLE ONLY gateway_store.withdrawals
    ADD CONSTRAINT withdrawals_pkey PRIMARY KEY (person, target, what);
CREATE INDEX cases_about ON gateway_store.cases USING btree (rule, about);
CREATE INDEX ix_acts_person ON gateway_store.acts USING btree (person);
CREATE INDEX ix_acts_state ON gateway_store.acts USING btree (state);
CREATE INDEX ix_cases_state ON gateway_store.cases USING btree (state);
CREATE INDEX ix_changes_at ON gateway_store.changes USING btree (at);
CREATE INDEX ix_changes_what ON gateway_store.changes USING btree (what);
CREATE INDEX ix_delegations_delegate ON gateway_store.delegations USING btree (delegate);
CREATE INDEX ix_delegations_delegator ON gateway_store.delegations USING btree (delegator);
CREATE INDEX ix_grants_person ON gateway_store.grants USING btree (person);
CREATE INDEX ix_grants_state ON gateway_store.grants USING btree (state);
CREATE INDEX ix_invitations_person ON gateway_store.invitations USING btree (person);
CREATE INDEX ix_notices_state ON gateway_store.notices USING btree (state);
CREATE INDEX ix_passes_grant_id ON gateway_store.passes USING btree (grant_id);
CREATE INDEX ix_recertifications_state ON gateway_store.recertifications USING btree (state);
CREATE INDEX ix_recovery_codes_person ON gateway_store.recovery_codes USING btree (person);
CREATE INDEX ix_requests_person ON gateway_store.requests USING btree (person);
CREATE INDEX ix_requests_state ON gateway_store.requests USING btree (state);
CREATE INDEX ix_reviews_person ON gateway_store.reviews USING btree (person);
CREATE INDEX ix_reviews_state ON gateway_store.reviews USING btree (state);
CREATE INDEX ix_tokens_person ON gateway_store.tokens USING btree (person);
ALTER TABLE ONLY gateway_store.approvals
    ADD CONSTRAINT approvals_request_id_fkey FOREIGN KEY (request_id) REFERENCES gateway_store.requests(id);
ALTER TABLE ONLY gateway_store.grants
    ADD CONSTRAINT grants_request_id_fkey FOREIGN KEY (request_id) REFERENCES gateway_store.requests(id);
ALTER TABLE ONLY gateway_store.passes
    ADD CONSTRAINT passes_grant_id_fkey FOREIGN KEY (grant_id) REFERENCES gateway_store.grants(id);
ALTER TABLE ONLY gateway_store.previews
    ADD CONSTRAINT previews_request_id_fkey FOREIGN KEY (request_id) REFERENCES gateway_store.requests(id);
ALTER TABLE ONLY gateway_store.recertification_lines
    ADD CONSTRAINT recertification_lines_review_id_fkey FOREIGN KEY (review_id) REFERENCES gateway_store.recertifications(id);
ALTER TABLE ONLY gateway_store.reviews
    ADD CONSTRAINT reviews_grant_id_fkey FOREIGN KEY (grant_id) REFERENCES gateway_store.grants(id);
