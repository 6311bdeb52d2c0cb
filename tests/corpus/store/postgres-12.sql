-- A store of version 12, made and filled by the program of that version. Never edited.
-- {"totp": "HTEHBEB3PHTJTLXZMHFAAIRBR5UWKTLN", "user": "alice+SUP-1423", "pass": "gwp_cy4jqcm4wvzgi35whrtf5kg3wevlwzt5"}
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
    sealed bytea,
    turn_until bigint
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
INSERT INTO gateway_store.approvals VALUES ('req_ct2ynrvpjzwqwgb5', 'p9', 1772442000000000, 'in_name_of of old');
INSERT INTO gateway_store.budget_shares VALUES ('origin of old', '\x64617461206f66206f6c64');
INSERT INTO gateway_store.budget_summary VALUES ('\x64617461206f66206f6c64', 'origin of old');
INSERT INTO gateway_store.cases VALUES ('id of old', 'rule of old', 'about of old', 'severity of old', 'title of old', '[]', 'closed', 1, 1772442000000000, 1772442000000000, 'investigator of old', 'finding of old', 'closed_by of old', '[]', '[]');
INSERT INTO gateway_store.changes VALUES (1, 'bf4199a98fd9', '', 'invitations', 1795880743923472);
INSERT INTO gateway_store.changes VALUES (2, '173694f34f10', '', 'invitations', 1795880743931089);
INSERT INTO gateway_store.changes VALUES (3, '84f0b3a04570', '', 'factors', 1795880743935561);
INSERT INTO gateway_store.changes VALUES (4, '4177d66512fe', '', 'invitations', 1795880743935561);
INSERT INTO gateway_store.changes VALUES (5, '55931d5f0f0a', '', 'recovery_codes', 1795880743935561);
INSERT INTO gateway_store.changes VALUES (6, '977684ee56b2', '', 'factors', 1795880743940648);
INSERT INTO gateway_store.changes VALUES (7, 'd1379ff11fe8', 'person', 'p1', 1795880743944715);
INSERT INTO gateway_store.changes VALUES (8, '5efb8ed02cff', 'grant', 'grant_nuehjbbeaqdob4x3', 1795880743951009);
INSERT INTO gateway_store.changes VALUES (9, 'db13dcc16c6b', 'grant', 'grant_nuehjbbeaqdob4x3', 1795880743956498);
INSERT INTO gateway_store.changes VALUES (10, 'ae956f9f7596', '', 'requests', 1795880743963636);
INSERT INTO gateway_store.changes VALUES (11, '5b66602f6f13', '', 'acts', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (12, 'bdee8798e541', '', 'approvals', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (13, 'dc119952c81a', '', 'delegations', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (14, '17faa3996856', '', 'holds', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (15, 'b3552d8e7e06', '', 'provider_logins', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (16, 'e02b510e93f0', '', 'provider_people', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (17, '69ca84623065', '', 'recertification_lines', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (18, '6adacd0653cd', '', 'recertifications', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (19, '24ed5bdc0633', '', 'reviews', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (20, '65781a08df71', '', 'suspensions', 1795880743987356);
INSERT INTO gateway_store.changes VALUES (21, '6df5e9d1553d', '', 'withdrawals', 1795880743987356);
INSERT INTO gateway_store.delegations VALUES ('id of old', 'delegator of old', 'delegate of old', 'reason of old', 1772442000000000, 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.factors VALUES ('p1', 'totp', '\x9cd6218f815b5fc770592d6b1a567f870011b7a4c1f4a26ca19013168683b2c5958ed5fae0209593ed3758a6b18888199de45c25fccd5b38a9cfdee6', 1772442000000000, 59081401);
INSERT INTO gateway_store.grants VALUES ('grant_nuehjbbeaqdob4x3', 'req_ct2ynrvpjzwqwgb5', 'p1', 'payroll', 'memory', 'SUP-1423', '["42"]', '[]', false, 'active', 1772442060000000, 1772445660000000, '[]', '', '', '', NULL, false);
INSERT INTO gateway_store.holds VALUES ('id of old', '[]', 'reason of old', 'asked_by of old', 'confirmed_by of old', 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.invitations VALUES ('\x0fe56599fd70415ec8211f16642bd94c35e3198873b5544153a43ea779eaea9e', 'p1', 'local', 1772442000000000, 1772701200000000, NULL, 1772442000000000);
INSERT INTO gateway_store.lockouts VALUES ('lane of old', 1, 1772442000000000);
INSERT INTO gateway_store.notices VALUES ('id of old', 'sink of old', '[]', 'sent', 1772442000000000, 1772442000000000, 1);
INSERT INTO gateway_store.passes VALUES ('pass_krm3y4bgem3n2qnf', 'grant_nuehjbbeaqdob4x3', 'p1', 'alice', 'payroll', 'SUP-1423', 'SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$LOFctZj0uh8RPA55EtoPqJ5kE3GCt814MtqiTmP7EW8=:xIWNAWOyrwS2RKHIc+DT90ojyUnX5lLc5aFgmMLRJPo=', 'totp', 1772442030000000, 1772442060000000, 1772445660000000, false, false);
INSERT INTO gateway_store.previews VALUES ('req_ct2ynrvpjzwqwgb5', 'p9', 'seen of old', 1772442000000000);
INSERT INTO gateway_store.provider_logins VALUES ('login of old', 'p9');
INSERT INTO gateway_store.provider_people VALUES ('p9', 'issuer of old', 'subject of old', 'login of old', 'name of old', 'email of old', '[]', false, 1772442000000000, 1772442000000000, '\x7365616c6564206f66206f6c64', 1772442000000000);
INSERT INTO gateway_store.recertification_lines VALUES ('id of old', 1, 'p9', 'login of old', 'name of old', 'target of old', 'what of old', '[]', 1772442000000000, 1, false, 'decision of old', 'decided_by of old', 1772442000000000, 'reason of old');
INSERT INTO gateway_store.recertifications VALUES ('id of old', 'closed', 'started_by of old', 1772442000000000, 1772442000000000, 1772442000000000, 'closed_by of old', 1772442000000000, '\x646f63756d656e74206f66206f6c64', 1);
INSERT INTO gateway_store.recovery_codes VALUES ('\x53147a0862d6d574742f1eb5b811ab89dadc43d60c48bac3dd0010f53efc0ce5', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xb147ad67672742fa5cac0e4ec88a9846edc0c47da6dc43c5f20cd5395cb3e38e', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x3d8895489af9d9a7a2bf1a85e62cb6541bce73279f2c3017c5505b1d2bf53a91', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x9ae077ae9f3cb2c4da4cf3e6f7f5570191771fa67025797a2870d45a18c4a872', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x1e72ffa60c4f5fbeb3efd6b4cf916ea314489257fd268b033696bf35e67ebb62', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xf1a22da770ab5b5aff380d7ff38907d8e3f9af78cbd04928cbadda31f8eb11d4', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x109b30f522223061b6a20d4a22fba1d91e740d334d0e7ca0df24cb14627c73ce', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xe24009422c677ce8cfd9b331f5679a068ca76f17534afdbf99c06aea3d1c0d72', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x211a63b1347609312372af958c1deaab8dc822eede01990001e5c8cecf2fb66a', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xeb0ea66657d22a31b1a63796d8efa894d5cf0f9312595f0c9e2edda939585d7b', 'p1', NULL);
INSERT INTO gateway_store.requests VALUES ('req_ct2ynrvpjzwqwgb5', 'p1', 'payroll', 'memory', 'SUP-1423', '', '[]', false, 3600, 'approved', 1772442060000000, 1772442060000000, 'approved by policy', '', '', '');
INSERT INTO gateway_store.requests VALUES ('req_s5osl6v3cfm4yadc', 'p1', 'payroll', 'memory', 'SUP-1424', 'a call', '[["public.employees", "email"]]', false, 3600, 'pending', 1772442060000000, NULL, '', '', '', '');
INSERT INTO gateway_store.reviews VALUES ('grant_nuehjbbeaqdob4x3', 'p9', 'target of old', 'ticket_id of old', 'reason of old', 'justified', 1772442000000000, 1772442000000000, 'reviewed_by of old', 1772442000000000, 'note of old');
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
INSERT INTO gateway_store.tokens VALUES ('\x5bc6347a544750b877324671878e94755712a0148f78f3fc388bbf2c7b77d063', 'signin_f7ydjeiql7v6233e', 'p1', 'totp', 1772442030000000, 1772442030000000, 1772470830000000);
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
