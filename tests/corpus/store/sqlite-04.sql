-- A store of version 4, made and filled by the program of that version. Never edited.
-- {"totp": "5GARMVZTXFWUQQHOGEXBF7HWLR2EFH5E", "user": "alice+SUP-1423", "pass": "gwp_mpvzu5k7km3snzk4byma2n4m4bvixj2r"}
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
INSERT INTO "approvals" VALUES('req_7i3hkqzwgwgz2roy','p9',1772442000000000);
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
INSERT INTO "factors" VALUES('p1','totp',X'BD0B83AB9F93CB98ABF4A695E51A3AAE1B4686162A52F6CBCA8A6DC5303B64463361133B7A5D19FBE46A9F4611DA14FD7371320C129968C53B808738',1772442000000000,59081401);
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
	PRIMARY KEY (id),
	UNIQUE (request_id),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "grants" VALUES('grant_xfdk3n5nlmt76sfq','req_d652334ebkb6lwt6','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL);
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
INSERT INTO "invitations" VALUES(X'8059D11159AA3C94CA6C71E92C38DAC7BD62A45BA4704B6076067CC71CCEA217','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
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
INSERT INTO "passes" VALUES('pass_ipqqvsuhgicdozzv','grant_xfdk3n5nlmt76sfq','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$Yg7qlScIRPp/CQOmOXBSbQf2vdrpHKZaUcv/9TUaw5A=:hJeiTQb4rgj2bKlRXbmn838tdE4Z/Cx/18u7n889lBQ=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_7i3hkqzwgwgz2roy','p9','seen of old',1772442000000000);
CREATE TABLE recovery_codes (
	hash BLOB NOT NULL,
	person TEXT NOT NULL,
	used_at BIGINT,
	PRIMARY KEY (hash)
);
INSERT INTO "recovery_codes" VALUES(X'7F9EF2BCC6E954C41458EF3828390F333FB0135E0E0BE0346A7C4655FB4A42ED','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'9286A6105C561A846F43FBA090EB5FD70FE74D34A1814B00B240EBD4BB8E4D3F','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'65224E2B39D5577D9D6C01A47EF6D2077F84902D654249B08685E67D41C4434C','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'07A4CE9635925ABAF523ACA96D60E2AA5A60A86827C2AB7FD4F02230A9DDCE0E','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'1BAA0B2E4F86894526704D9CD8376B2EE2CD085AA911B641B50A5366D5B6B67B','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'229596A98EB59DBF6D689A0852B0EF4C92C7AA085EB4DC63A60B2BCE70260A8D','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'1474A4C808D2C544361EA908FE6AB3A353E3488A47EB55C7CA589FD3C28D0423','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'D7B6ADAD5377B0177FB0CB0185FA458A11C2A4F0FDB2E9FE75C7F078687D41D7','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'9A7357E09CA8757F1B128456D3A0191498FA804CCD546796CFC7A7EE70B5ECC8','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'3BE2EEF5C70D87672B9FFEAD1DC9C5EE249C3FA130585571EEC628F431F7C48A','p1',NULL);
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
INSERT INTO "requests" VALUES('req_d652334ebkb6lwt6','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','');
INSERT INTO "requests" VALUES('req_7i3hkqzwgwgz2roy','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','');
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
INSERT INTO "schema_version" VALUES(2);
INSERT INTO "schema_version" VALUES(3);
INSERT INTO "schema_version" VALUES(4);
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
INSERT INTO "tokens" VALUES(X'8E67E4799C6EA1B448F2CD40FFD789743A009D6F8AB2EACE384C8411AF833275','signin_54flvtvni3nyr5vi','p1','totp',1772442030000000,1772442030000000,1772470830000000);
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
COMMIT;
