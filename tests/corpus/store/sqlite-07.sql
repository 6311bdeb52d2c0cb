-- A store of version 7, made and filled by the program of that version. Never edited.
-- {"totp": "I3LDDPKIUB6TZRLC6734PYN5O3T6LHAB", "user": "alice+SUP-1423", "pass": "gwp_jgujpl74j3qca4mnyot25rfhmvb5dkk3"}
BEGIN TRANSACTION;
CREATE TABLE acts (
	id TEXT NOT NULL,
	does TEXT NOT NULL,
	subject JSON NOT NULL,
	sealed BLOB,
	reason TEXT NOT NULL,
	person TEXT NOT NULL,
	state TEXT NOT NULL,
	filed_at BIGINT NOT NULL,
	decided_by TEXT DEFAULT '' NOT NULL,
	decided_at BIGINT,
	decision_reason TEXT DEFAULT '' NOT NULL,
	done_at BIGINT,
	PRIMARY KEY (id)
);
INSERT INTO "acts" VALUES('id of old','does of old','[]',X'7365616C6564206F66206F6C64','reason of old','p9','done',1772442000000000,'decided_by of old',1772442000000000,'decision_reason of old',1772442000000000);
CREATE TABLE alert_memory (
	origin TEXT NOT NULL,
	size BIGINT NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (origin)
);
INSERT INTO "alert_memory" VALUES('origin of old',1,X'64617461206F66206F6C64');
CREATE TABLE approvals (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "approvals" VALUES('req_flke3hmictodnhoi','p9',1772442000000000);
CREATE TABLE budget_summary (
	data BLOB NOT NULL
);
INSERT INTO "budget_summary" VALUES(X'64617461206F66206F6C64');
CREATE TABLE cases (
	id TEXT NOT NULL,
	rule TEXT NOT NULL,
	about TEXT NOT NULL,
	severity TEXT NOT NULL,
	title TEXT NOT NULL,
	people JSON NOT NULL,
	state TEXT NOT NULL,
	version INTEGER NOT NULL,
	opened_at BIGINT NOT NULL,
	changed_at BIGINT NOT NULL,
	investigator TEXT DEFAULT '' NOT NULL,
	finding TEXT DEFAULT '' NOT NULL,
	closed_by TEXT DEFAULT '' NOT NULL,
	evidence JSON NOT NULL,
	sign_offs JSON NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "cases" VALUES('id of old','rule of old','about of old','severity of old','title of old','[]','closed',1,1772442000000000,1772442000000000,'investigator of old','finding of old','closed_by of old','[]','[]');
CREATE TABLE factors (
	person TEXT NOT NULL,
	kind TEXT NOT NULL,
	sealed BLOB NOT NULL,
	enrolled_at BIGINT NOT NULL,
	last_step BIGINT NOT NULL,
	PRIMARY KEY (person)
);
INSERT INTO "factors" VALUES('p1','totp',X'F45FF5979D83D7436FD39BE71167CB565976D34E5BD9917E933A084A0A4C0E81A2ADFB919A86F877705A15D7E0D429AFF88A1134B983D3EC6A91210E',1772442000000000,59081401);
CREATE TABLE grants (
	id TEXT NOT NULL,
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	target TEXT NOT NULL,
	ticket_system TEXT NOT NULL,
	ticket_id TEXT NOT NULL,
	customers JSON NOT NULL,
	reveal JSON NOT NULL,
	write BOOLEAN NOT NULL,
	state TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	approved_by JSON NOT NULL,
	ended_reason TEXT DEFAULT '' NOT NULL,
	statement TEXT DEFAULT '' NOT NULL,
	spent_by TEXT DEFAULT '' NOT NULL,
	spent_at BIGINT,
	break_glass BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (request_id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "grants" VALUES('grant_2wr4ufawng35fmlx','req_flke3hmictodnhoi','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
CREATE TABLE invitations (
	hash BLOB NOT NULL,
	person TEXT NOT NULL,
	created_by TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	sealed BLOB,
	used_at BIGINT,
	PRIMARY KEY (hash)
);
INSERT INTO "invitations" VALUES(X'701CDE3D6B05D6F4B4195EC2DD2FD1278E58DD3817675AC397AD6657227A42B4','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
CREATE TABLE lockouts (
	lane TEXT NOT NULL,
	failures INTEGER NOT NULL,
	failed_at BIGINT NOT NULL,
	PRIMARY KEY (lane)
);
INSERT INTO "lockouts" VALUES('lane of old',1,1772442000000000);
CREATE TABLE notices (
	id TEXT NOT NULL,
	sink TEXT NOT NULL,
	body JSON NOT NULL,
	state TEXT NOT NULL,
	made_at BIGINT NOT NULL,
	next_at BIGINT NOT NULL,
	tries INTEGER DEFAULT '0' NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "notices" VALUES('id of old','sink of old','[]','sent',1772442000000000,1772442000000000,1);
CREATE TABLE passes (
	id TEXT NOT NULL,
	grant_id TEXT NOT NULL,
	person TEXT NOT NULL,
	login TEXT NOT NULL,
	target TEXT NOT NULL,
	ticket_id TEXT NOT NULL,
	scram TEXT NOT NULL,
	factor TEXT NOT NULL,
	factor_at BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	superseded BOOLEAN DEFAULT 0 NOT NULL,
	revoked BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(grant_id) REFERENCES grants (id)
);
INSERT INTO "passes" VALUES('pass_zu64qjznyniglvxr','grant_2wr4ufawng35fmlx','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$GR71RGtlR6sgPCfQn7r4EukE0mK1aqg3GRlXQvyTH3o=:0mAhlhO7yuAEPOQOmsN6DrmnoC+kiorm6Ahi0TuW6yg=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_flke3hmictodnhoi','p9','seen of old',1772442000000000);
CREATE TABLE recovery_codes (
	hash BLOB NOT NULL,
	person TEXT NOT NULL,
	used_at BIGINT,
	PRIMARY KEY (hash)
);
INSERT INTO "recovery_codes" VALUES(X'67468F54A01B3A233A88009E5B15E08EBEAE0AF2C85072CBBC40C2434A5D31E2','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'C7C0A4527B16E4FF895735B55EA556FD6DC047CEDDA4AECF5C2C88DB7B8E5D78','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'67652E0A514BBB00949BF0412346812347F8237FC2E0696C0CF6E3725D0D850B','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'55AD998541F22EB7541F1CDF4836F82FA0A03EF464C1DB48D6F9B6910C7E6AF3','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'CE6B33074F8822BD392EA27394AC0245B46724FE38CC94BE9C6F1C1877579EA2','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'588474089D8CB16D7BE5BBD031C99C39238536318375F33E16960D97318578B0','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'40680FA372CF9DBE584B681FDCD7EF1F5760B57E38CA8856F45B5913CF1B0E33','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'804121FE93FF0F1DE196D219AF008607C7602A611660589E912565C17C24ED83','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'201126A4483C0880564F00F2552B9598F75A8544298FC7C6D80F48A379DC4763','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'DD1AFA969E18BE11220DB63FF2962106C9F1A6C8B7F5E486B91D5AA86B19CB7B','p1',NULL);
CREATE TABLE requests (
	id TEXT NOT NULL,
	person TEXT NOT NULL,
	target TEXT NOT NULL,
	ticket_system TEXT NOT NULL,
	ticket_id TEXT NOT NULL,
	reason TEXT NOT NULL,
	reveal JSON NOT NULL,
	write BOOLEAN NOT NULL,
	duration_s INTEGER NOT NULL,
	state TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	decided_at BIGINT,
	decision_reason TEXT DEFAULT '' NOT NULL,
	statement TEXT DEFAULT '' NOT NULL,
	digest TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "requests" VALUES('req_flke3hmictodnhoi','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','');
INSERT INTO "requests" VALUES('req_sqimxxzi3manniy3','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','');
CREATE TABLE reviews (
	grant_id TEXT NOT NULL,
	person TEXT NOT NULL,
	target TEXT NOT NULL,
	ticket_id TEXT NOT NULL,
	reason TEXT NOT NULL,
	state TEXT NOT NULL,
	opened_at BIGINT NOT NULL,
	due_at BIGINT NOT NULL,
	reviewed_by TEXT DEFAULT '' NOT NULL,
	reviewed_at BIGINT,
	note TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (grant_id),
	FOREIGN KEY(grant_id) REFERENCES grants (id)
);
INSERT INTO "reviews" VALUES('grant_2wr4ufawng35fmlx','p9','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
INSERT INTO "schema_version" VALUES(2);
INSERT INTO "schema_version" VALUES(3);
INSERT INTO "schema_version" VALUES(4);
INSERT INTO "schema_version" VALUES(5);
INSERT INTO "schema_version" VALUES(6);
INSERT INTO "schema_version" VALUES(7);
CREATE TABLE sealing_keys (
	id TEXT NOT NULL,
	use TEXT NOT NULL,
	customer TEXT NOT NULL,
	month TEXT NOT NULL,
	wrapped BLOB NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (use, customer, month)
);
INSERT INTO "sealing_keys" VALUES('id of old','use of old','customer of old','month of old',X'77726170706564206F66206F6C64',1772442000000000);
CREATE TABLE tokens (
	hash BLOB NOT NULL,
	id TEXT NOT NULL,
	person TEXT NOT NULL,
	factor TEXT NOT NULL,
	factor_at BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (hash)
);
INSERT INTO "tokens" VALUES(X'3BE55EF58D319C99628B7CECEDF1F4197B7ABC21F994AD5683D028F07AC8310C','signin_jhhmsltbe4uwh6zp','p1','totp',1772442030000000,1772442030000000,1772470830000000);
CREATE INDEX ix_requests_person ON requests (person);
CREATE INDEX ix_requests_state ON requests (state);
CREATE INDEX ix_recovery_codes_person ON recovery_codes (person);
CREATE INDEX ix_invitations_person ON invitations (person);
CREATE INDEX ix_tokens_person ON tokens (person);
CREATE INDEX ix_acts_person ON acts (person);
CREATE INDEX ix_acts_state ON acts (state);
CREATE INDEX ix_cases_state ON cases (state);
CREATE INDEX cases_about ON cases (rule, about);
CREATE INDEX ix_notices_state ON notices (state);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
CREATE INDEX ix_reviews_state ON reviews (state);
CREATE INDEX ix_reviews_person ON reviews (person);
COMMIT;
