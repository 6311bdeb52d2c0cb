-- A store of version 14, made and filled by the program of that version. Never edited.
-- {"totp": "BK7FXTWIDD3SJ5ZLMAGW26MOHZLIPO3P", "user": "alice+SUP-1423", "pass": "gwp_vnjdknc47rpjctwvur4pctlnp2u5x37n"}
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
CREATE TABLE gateway_store.ceremonies (
    page bytea NOT NULL,
    collect bytea NOT NULL,
    kind text NOT NULL,
    login text NOT NULL,
    person text NOT NULL,
    code bytea NOT NULL,
    tries integer NOT NULL,
    address text NOT NULL,
    invitation bytea,
    name text NOT NULL,
    challenge bytea,
    state text NOT NULL,
    credential bytea,
    public_key bytea,
    sign_count bigint DEFAULT '0'::bigint NOT NULL,
    expires_at bigint NOT NULL
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
CREATE TABLE gateway_store.master_root (
    id integer NOT NULL,
    master text NOT NULL,
    sealed bytea NOT NULL
);
CREATE SEQUENCE gateway_store.master_root_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE gateway_store.master_root_id_seq OWNED BY gateway_store.master_root.id;
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
CREATE TABLE gateway_store.security_keys (
    credential bytea NOT NULL,
    person text NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    name text NOT NULL,
    created_at bigint NOT NULL,
    used_at bigint
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
ALTER TABLE ONLY gateway_store.master_root ALTER COLUMN id SET DEFAULT nextval('gateway_store.master_root_id_seq'::regclass);
ALTER TABLE ONLY gateway_store.schema_version ALTER COLUMN version SET DEFAULT nextval('gateway_store.schema_version_version_seq'::regclass);
INSERT INTO gateway_store.acts VALUES ('id of old', 'does of old', '[]', '\x7365616c6564206f66206f6c64', 'reason of old', 'p9', 'done', 1772442000000000, 'decided_by of old', 1772442000000000, 'decision_reason of old', 1772442000000000);
INSERT INTO gateway_store.alert_memory VALUES ('origin of old', 1, '\x64617461206f66206f6c64');
INSERT INTO gateway_store.approvals VALUES ('req_ant5dxtwqcxcjhb6', 'p9', 1772442000000000, 'in_name_of of old');
INSERT INTO gateway_store.budget_shares VALUES ('origin of old', '\x64617461206f66206f6c64');
INSERT INTO gateway_store.budget_summary VALUES ('\x64617461206f66206f6c64', 'origin of old');
INSERT INTO gateway_store.cases VALUES ('id of old', 'rule of old', 'about of old', 'severity of old', 'title of old', '[]', 'closed', 1, 1772442000000000, 1772442000000000, 'investigator of old', 'finding of old', 'closed_by of old', '[]', '[]');
INSERT INTO gateway_store.ceremonies VALUES ('\x70616765206f66206f6c64', '\x636f6c6c656374206f66206f6c64', 'kind of old', 'login of old', 'p9', '\x636f6465206f66206f6c64', 1, 'address of old', '\x696e7669746174696f6e206f66206f6c64', 'name of old', '\x6368616c6c656e6765206f66206f6c64', 'waiting', '\x63726564656e7469616c206f66206f6c64', '\x7075626c69635f6b6579206f66206f6c64', 1, 1772442000000000);
INSERT INTO gateway_store.changes VALUES (1, '3e36e59a2b6c', '', 'invitations', 1795880762529601);
INSERT INTO gateway_store.changes VALUES (2, 'a1dc90e44c2c', '', 'invitations', 1795880762532873);
INSERT INTO gateway_store.changes VALUES (3, '40525e591536', '', 'factors', 1795880762535800);
INSERT INTO gateway_store.changes VALUES (4, '55103a0d8e13', '', 'invitations', 1795880762535800);
INSERT INTO gateway_store.changes VALUES (5, '9f08e17d3d43', '', 'recovery_codes', 1795880762535800);
INSERT INTO gateway_store.changes VALUES (6, '718dcdef6a0d', '', 'factors', 1795880762537900);
INSERT INTO gateway_store.changes VALUES (7, '23c8cc4ed799', 'person', 'p1', 1795880762544013);
INSERT INTO gateway_store.changes VALUES (8, '6e302fa0c94e', 'grant', 'grant_irphub42kxrurqly', 1795880762552306);
INSERT INTO gateway_store.changes VALUES (9, 'c33e301cc407', 'grant', 'grant_irphub42kxrurqly', 1795880762556150);
INSERT INTO gateway_store.changes VALUES (10, '846c6f675695', '', 'requests', 1795880762559947);
INSERT INTO gateway_store.changes VALUES (11, '31afdcd7402e', '', 'acts', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (12, '6dd7a37793d1', '', 'approvals', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (13, 'c421f00dfe4d', '', 'ceremonies', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (14, '2fffbd63dae8', '', 'delegations', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (15, 'db42ac148895', '', 'holds', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (16, 'fc0aa6a1972b', '', 'master_root', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (17, '9217f494979d', '', 'provider_logins', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (18, '885d7053f335', '', 'provider_people', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (19, '7a19a8247d68', '', 'recertification_lines', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (20, '4cecf5e0ceba', '', 'recertifications', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (21, 'aca6061f1d5e', '', 'reviews', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (22, '47bb6e2fcc79', '', 'security_keys', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (23, 'b74236b1f555', '', 'suspensions', 1795880762590003);
INSERT INTO gateway_store.changes VALUES (24, '130baea1cf25', '', 'withdrawals', 1795880762590003);
INSERT INTO gateway_store.delegations VALUES ('id of old', 'delegator of old', 'delegate of old', 'reason of old', 1772442000000000, 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.factors VALUES ('p1', 'totp', '\x05fbf678f1a34d817aca08d1849042426c44565d1e341529c7abd6c687eb3c7c0b70ab1c67fb01d205f6107b981aabc2ccbaee29ac402337b3a83b0e', 1772442000000000, 59081401);
INSERT INTO gateway_store.grants VALUES ('grant_irphub42kxrurqly', 'req_ant5dxtwqcxcjhb6', 'p1', 'payroll', 'memory', 'SUP-1423', '["42"]', '[]', false, 'active', 1772442060000000, 1772445660000000, '[]', '', '', '', NULL, false);
INSERT INTO gateway_store.holds VALUES ('id of old', '[]', 'reason of old', 'asked_by of old', 'confirmed_by of old', 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.invitations VALUES ('\x89fbc9daf22daba2ef2bb653a20d19ebd2c9eb12adcd60197aa6e3e8a1d80628', 'p1', 'local', 1772442000000000, 1772701200000000, NULL, 1772442000000000);
INSERT INTO gateway_store.lockouts VALUES ('lane of old', 1, 1772442000000000);
INSERT INTO gateway_store.master_root VALUES (1, 'master of old', '\x7365616c6564206f66206f6c64');
INSERT INTO gateway_store.notices VALUES ('id of old', 'sink of old', '[]', 'sent', 1772442000000000, 1772442000000000, 1);
INSERT INTO gateway_store.passes VALUES ('pass_ygl7rhjcv2wvxtnz', 'grant_irphub42kxrurqly', 'p1', 'alice', 'payroll', 'SUP-1423', 'SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$0+k8DX4Jq7vlotRgqkNQgDBwk00gteoeWhQaVql0lLA=:mom6DDr63Ttkz8EeysBi4CmEvf8GARQXqyLAL/9V++M=', 'totp', 1772442030000000, 1772442060000000, 1772445660000000, false, false);
INSERT INTO gateway_store.previews VALUES ('req_ant5dxtwqcxcjhb6', 'p9', 'seen of old', 1772442000000000);
INSERT INTO gateway_store.provider_logins VALUES ('login of old', 'p9');
INSERT INTO gateway_store.provider_people VALUES ('p9', 'issuer of old', 'subject of old', 'login of old', 'name of old', 'email of old', '[]', false, 1772442000000000, 1772442000000000, '\x7365616c6564206f66206f6c64', 1772442000000000);
INSERT INTO gateway_store.recertification_lines VALUES ('id of old', 1, 'p9', 'login of old', 'name of old', 'target of old', 'what of old', '[]', 1772442000000000, 1, false, 'decision of old', 'decided_by of old', 1772442000000000, 'reason of old');
INSERT INTO gateway_store.recertifications VALUES ('id of old', 'closed', 'started_by of old', 1772442000000000, 1772442000000000, 1772442000000000, 'closed_by of old', 1772442000000000, '\x646f63756d656e74206f66206f6c64', 1);
INSERT INTO gateway_store.recovery_codes VALUES ('\xb57f616d3f21a6871f15bb3ae2828dac0582fde9a9282e38437dc8fe5553a19d', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x895715aa17efc5d6678c51d4f04dc9595d55e714af99b474c6d88f6cb646b28b', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xde42acecc8c776cb11ae2447f4ea91acdf0cb493fab1db9693b0b3750318ccb5', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x62d941292f7bbc0b426218ee95b6522bcf5b36b72eacebb9077d81cc61dbd1db', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xdd857989030f29a4fe2013952da0dd34405e932127b55b4a990a73f371a200c6', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x0fbc8336a6517f993ee37415dea8b85ecabe7a84c0b47a2483a46ce32a57cccf', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x1e732b3e86ee7b28bc1cff033ca68b4b6244275ed7fa7be0debd525da662bfb2', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x9f29cd281bd3f8d26f13c6045622c6db90ae25aa9826f4c768c638a26f06f640', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\x1f2d456fcd723101e8380ac5d7f3dbe6b55909d298ad8ae9f5a0e3d5cd4d1cd2', 'p1', NULL);
INSERT INTO gateway_store.recovery_codes VALUES ('\xb29e6f75fb8abf859490f24f0d080bc0b64a4e4804ada39f4a90849255cc80f8', 'p1', NULL);
INSERT INTO gateway_store.requests VALUES ('req_ant5dxtwqcxcjhb6', 'p1', 'payroll', 'memory', 'SUP-1423', '', '[]', false, 3600, 'approved', 1772442060000000, 1772442060000000, 'approved by policy', '', '', '');
INSERT INTO gateway_store.requests VALUES ('req_jz6mfgusetlxnoxi', 'p1', 'payroll', 'memory', 'SUP-1424', 'a call', '[["public.employees", "email"]]', false, 3600, 'pending', 1772442060000000, NULL, '', '', '', '');
INSERT INTO gateway_store.reviews VALUES ('grant_irphub42kxrurqly', 'p9', 'target of old', 'ticket_id of old', 'reason of old', 'justified', 1772442000000000, 1772442000000000, 'reviewed_by of old', 1772442000000000, 'note of old');
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
INSERT INTO gateway_store.schema_version VALUES (13);
INSERT INTO gateway_store.schema_version VALUES (14);
INSERT INTO gateway_store.sealing_keys VALUES ('id of old', 'use of old', 'customer of old', 'month of old', '\x77726170706564206f66206f6c64', 1772442000000000);
INSERT INTO gateway_store.security_keys VALUES ('\x63726564656e7469616c206f66206f6c64', 'p9', '\x7075626c69635f6b6579206f66206f6c64', 1, 'name of old', 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.suspensions VALUES ('p9', 'suspended_by of old', 'reason of old', 1772442000000000);
INSERT INTO gateway_store.ticket_comments VALUES ('grant_id of old', 'what of old', 'system of old', 'ticket_id of old', 'text of old', 1772442000000000, 1, 1772442000000000, 1772442000000000);
INSERT INTO gateway_store.tokens VALUES ('\xf35e59b8ec4efc4bc97c12e73fbcdcbed79e67b3d2ef2e5da2aa0fdd9b7380fa', 'signin_e4v2tecr27hrmpaq', 'p1', 'totp', 1772442030000000, 1772442030000000, 1772470830000000);
INSERT INTO gateway_store.withdrawals VALUES ('p9', 'target of old', 'what of old', 'review_id of old', 1772442000000000);
SELECT pg_catalog.setval('gateway_store.changes_number_seq', 24, true);
SELECT pg_catalog.setval('gateway_store.master_root_id_seq', 1, false);
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
ALTER TABLE ONLY gateway_store.ceremonies
    ADD CONSTRAINT ceremonies_collect_key UNIQUE (collect);
ALTER TABLE ONLY gateway_store.ceremonies
    ADD CONSTRAINT ceremonies_pkey PRIMARY KEY (page);
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
ALTER TABLE ONLY gateway_store.master_root
    ADD CONSTRAINT master_root_pkey PRIMARY KEY (id);
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
ALTER TABLE ONLY gateway_store.security_keys
    ADD CONSTRAINT security_keys_pkey PRIMARY KEY (credential);
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
CREATE INDEX ix_security_keys_person ON gateway_store.security_keys USING btree (person);
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
