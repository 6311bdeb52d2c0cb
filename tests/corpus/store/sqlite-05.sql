-- A store of version 5, made and filled by the program of that version. Never edited.
-- {"totp": "CNMHYJ7WSLQPCT557XBXLCXH3U6U53YN", "user": "alice+SUP-1423", "pass": "gwp_azrqdqa3k67uqa35huvyc3nxwohfwdeh"}
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
CREATE TABLE approvals (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "approvals" VALUES('req_54kcncges2rdnjtd','p9',1772442000000000);
CREATE TABLE budget_summary (
	data BLOB NOT NULL
);
INSERT INTO "budget_summary" VALUES(X'64617461206F66206F6C64');
CREATE TABLE factors (
	person TEXT NOT NULL,
	kind TEXT NOT NULL,
	sealed BLOB NOT NULL,
	enrolled_at BIGINT NOT NULL,
	last_step BIGINT NOT NULL,
	PRIMARY KEY (person)
);
INSERT INTO "factors" VALUES('p1','totp',X'DA5BB89881BFB07E7543D02CAC4DA7709834BDA8B9B733A139D260A5985B0366E313053FA616C03B812532B6911AEFF6460AB074933D91E707CCB492',1772442000000000,59081401);
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
INSERT INTO "grants" VALUES('grant_r32ls4zxrswxhpzl','req_54kcncges2rdnjtd','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
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
INSERT INTO "invitations" VALUES(X'4537A9C748775AC3ED50EE11F855D21B4E94F0DFE9729F2E7E14EF4791A128E8','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
CREATE TABLE lockouts (
	lane TEXT NOT NULL,
	failures INTEGER NOT NULL,
	failed_at BIGINT NOT NULL,
	PRIMARY KEY (lane)
);
INSERT INTO "lockouts" VALUES('lane of old',1,1772442000000000);
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
INSERT INTO "passes" VALUES('pass_twvbjrr6vnqvcfwx','grant_r32ls4zxrswxhpzl','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$zB9TUmUPRbPoPQurDaV0hVLUGGjwgzxxGBxLxh1pzec=:j+bIG6zyjAWsPo1sggb+HRhAjF+gTubopKfUjOIWplg=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_54kcncges2rdnjtd','p9','seen of old',1772442000000000);
CREATE TABLE recovery_codes (
	hash BLOB NOT NULL,
	person TEXT NOT NULL,
	used_at BIGINT,
	PRIMARY KEY (hash)
);
INSERT INTO "recovery_codes" VALUES(X'1A76853545E2DD550F101C4C916714C9DD1A102E2615482F8B23BBC4B41B875E','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'3B472F53F42DCFCAEBD30856921B9574A6223B94BE3B1B31C12B74DE75686831','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'574D30FD1C8C411A81DCE9250B5A1EA36892F7DF1FBAB914B5725BD8FA5FE296','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'DF912C5DD9ED339BF587DB7CFBC5C7ADEAC19B7427B2C124688B39FA2423F6BD','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'B4706E37C89605E95501D106228DE2F4DC067F8A3AE64B94FFB46505C96AC6BB','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'BC961B22FF437EB8CB9F1E8AE8CC2A6BCCC8CFD297E37B667C6F730BA720A0E5','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'457E4F6D43C6E6F8F9FE529179D81F4BE0F056E679243B2A19E660A3F4382686','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'9655E39C41F47B8BC1292978DF013146A1A8381CC029B6F9023E51C4C907892D','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'8FAB483E6D0D2EB4465EDF500A7C333F0A4BA921E3937715B259258D2E21B2F0','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'1E78284102563A6E8E9DFB683D0B5E74829738720C6D5CD8F255B57E73CB44EA','p1',NULL);
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
INSERT INTO "requests" VALUES('req_54kcncges2rdnjtd','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','');
INSERT INTO "requests" VALUES('req_z7v3dsjmwvj7sswb','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','');
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
INSERT INTO "reviews" VALUES('grant_r32ls4zxrswxhpzl','p9','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
INSERT INTO "schema_version" VALUES(2);
INSERT INTO "schema_version" VALUES(3);
INSERT INTO "schema_version" VALUES(4);
INSERT INTO "schema_version" VALUES(5);
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
INSERT INTO "tokens" VALUES(X'848B050CD90D4A35FD9895BD2178901610B3D84547A3F2489BDA1B1497CF62D5','signin_o3tnzr4gskmi45sg','p1','totp',1772442030000000,1772442030000000,1772470830000000);
CREATE INDEX ix_requests_person ON requests (person);
CREATE INDEX ix_requests_state ON requests (state);
CREATE INDEX ix_recovery_codes_person ON recovery_codes (person);
CREATE INDEX ix_invitations_person ON invitations (person);
CREATE INDEX ix_tokens_person ON tokens (person);
CREATE INDEX ix_acts_person ON acts (person);
CREATE INDEX ix_acts_state ON acts (state);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
CREATE INDEX ix_reviews_person ON reviews (person);
CREATE INDEX ix_reviews_state ON reviews (state);
COMMIT;
