-- A store of version 10, made and filled by the program of that version. Never edited.
-- {"totp": "2GL5PHKSED6AWBOMPVUSBTHSLN4SUE76", "user": "alice+SUP-1423", "pass": "gwp_m3n542hae4ol5w52uo47qi2hvnydnw2h"}
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
	in_name_of TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "approvals" VALUES('req_6l4aihs6dzlcx43s','p9',1772442000000000,'in_name_of of old');
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
CREATE TABLE delegations (
	id TEXT NOT NULL,
	delegator TEXT NOT NULL,
	delegate TEXT NOT NULL,
	reason TEXT NOT NULL,
	starts_at BIGINT NOT NULL,
	ends_at BIGINT NOT NULL,
	ended_at BIGINT,
	PRIMARY KEY (id)
);
INSERT INTO "delegations" VALUES('id of old','delegator of old','delegate of old','reason of old',1772442000000000,1772442000000000,1772442000000000);
CREATE TABLE factors (
	person TEXT NOT NULL,
	kind TEXT NOT NULL,
	sealed BLOB NOT NULL,
	enrolled_at BIGINT NOT NULL,
	last_step BIGINT NOT NULL,
	PRIMARY KEY (person)
);
INSERT INTO "factors" VALUES('p1','totp',X'08FDA3CD4B1C63A33BB72964586D31433AE19E057BC82DE9014CE5E170295C0BD0EB69020AD2F9FE1A793FEA9F8D49C7A228B73D7B77EDB9A19247FF',1772442000000000,59081401);
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
INSERT INTO "grants" VALUES('grant_2fvgg7lpefkf77d7','req_mbowxp4fwdt3ty3m','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
CREATE TABLE holds (
	id TEXT NOT NULL,
	subject JSON NOT NULL,
	reason TEXT NOT NULL,
	asked_by TEXT NOT NULL,
	confirmed_by TEXT NOT NULL,
	set_at BIGINT NOT NULL,
	lifted_at BIGINT,
	PRIMARY KEY (id)
);
INSERT INTO "holds" VALUES('id of old','[]','reason of old','asked_by of old','confirmed_by of old',1772442000000000,1772442000000000);
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
INSERT INTO "invitations" VALUES(X'3F900010F9E1635E9394CE534B302E584995260514521DDDC3359CF88421BB45','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
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
INSERT INTO "passes" VALUES('pass_ii2unovx4pao5lx6','grant_2fvgg7lpefkf77d7','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$Y6VQwkua45sVd0DIbnZppfg0BcpWBFJMgog1T84bX9I=:g0a7oPlPrOU/xkgosKzN3BTFWdwe5bTm8wihDR7XOqs=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_6l4aihs6dzlcx43s','p9','seen of old',1772442000000000);
CREATE TABLE recertification_lines (
	review_id TEXT NOT NULL,
	number INTEGER NOT NULL,
	person TEXT NOT NULL,
	login TEXT NOT NULL,
	name TEXT NOT NULL,
	target TEXT NOT NULL,
	what TEXT NOT NULL,
	teams JSON NOT NULL,
	last_use BIGINT,
	uses INTEGER NOT NULL,
	withdrawn BOOLEAN NOT NULL,
	decision TEXT DEFAULT '' NOT NULL,
	decided_by TEXT DEFAULT '' NOT NULL,
	decided_at BIGINT,
	reason TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (review_id, number),
	FOREIGN KEY(review_id) REFERENCES recertifications (id)
);
INSERT INTO "recertification_lines" VALUES('id of old',1,'p9','login of old','name of old','target of old','what of old','[]',1772442000000000,1,0,'decision of old','decided_by of old',1772442000000000,'reason of old');
CREATE TABLE recertifications (
	id TEXT NOT NULL,
	state TEXT NOT NULL,
	started_by TEXT NOT NULL,
	started_at BIGINT NOT NULL,
	due_at BIGINT NOT NULL,
	reminded_at BIGINT,
	closed_by TEXT DEFAULT '' NOT NULL,
	closed_at BIGINT,
	document BLOB,
	record BIGINT,
	PRIMARY KEY (id)
);
INSERT INTO "recertifications" VALUES('id of old','closed','started_by of old',1772442000000000,1772442000000000,1772442000000000,'closed_by of old',1772442000000000,X'646F63756D656E74206F66206F6C64',1);
CREATE TABLE recovery_codes (
	hash BLOB NOT NULL,
	person TEXT NOT NULL,
	used_at BIGINT,
	PRIMARY KEY (hash)
);
INSERT INTO "recovery_codes" VALUES(X'AF3BB0DEFEB5A6686AB94B35B21CA03F4487A4B4F0C4D46D96842C029A0629CD','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'864F21159D39509A4B30E96E22C89316734E17D9562C24D924DE01D9097BD955','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'25889D995144517AEBFB34F2A0BA9A5315C4CCEE2CC2C96085A6D9765297FC41','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'F3E4E411F425A7E70738B794237035EEFB9D8A5EBBA039C0C17F7D62FE44456D','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'9E7A468BC2B15A39103CC07F61E495B54627B388D6BE69CC7239597F3E2AD83C','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'27D5111C6FBC285F955C0926DC9B6EBBCBA3EAC1A7DE8B065A40C7573DBF03BB','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'2F49A4BA3B311C5B5F0B53ACBEE59A3938C32AB9710F9464D8613DC86D7E2F15','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'F9A3A5CA7942AD3252C544CA0715F2C513FE7CA13CA66940AEE2A4ABAE322FB2','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'39466B5169A96F0948D224441AA8EF92FA74FA26F1F2B01135C118D1722D4595','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'A402E506CD1CAA061FA53EB2CED96D2994FB14AE40C17779F5370F9FF281BDC7','p1',NULL);
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
	extends TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "requests" VALUES('req_mbowxp4fwdt3ty3m','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','','');
INSERT INTO "requests" VALUES('req_6l4aihs6dzlcx43s','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','','');
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
INSERT INTO "reviews" VALUES('grant_2fvgg7lpefkf77d7','p9','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
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
INSERT INTO "schema_version" VALUES(8);
INSERT INTO "schema_version" VALUES(9);
INSERT INTO "schema_version" VALUES(10);
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
CREATE TABLE suspensions (
	person TEXT NOT NULL,
	suspended_by TEXT NOT NULL,
	reason TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (person)
);
INSERT INTO "suspensions" VALUES('p9','suspended_by of old','reason of old',1772442000000000);
CREATE TABLE ticket_comments (
	grant_id TEXT NOT NULL,
	what TEXT NOT NULL,
	system TEXT NOT NULL,
	ticket_id TEXT NOT NULL,
	text TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	tries INTEGER NOT NULL,
	next_at BIGINT NOT NULL,
	done_at BIGINT,
	PRIMARY KEY (grant_id, what)
);
INSERT INTO "ticket_comments" VALUES('grant_id of old','what of old','system of old','ticket_id of old','text of old',1772442000000000,1,1772442000000000,1772442000000000);
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
INSERT INTO "tokens" VALUES(X'1D3E299FE2088AAADED32E383C63A5DE8B04608914B05CD118595DE820166DCB','signin_grm5srcecdtq4rlt','p1','totp',1772442030000000,1772442030000000,1772470830000000);
CREATE TABLE withdrawals (
	person TEXT NOT NULL,
	target TEXT NOT NULL,
	what TEXT NOT NULL,
	review_id TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (person, target, what)
);
INSERT INTO "withdrawals" VALUES('p9','target of old','what of old','review_id of old',1772442000000000);
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
CREATE INDEX ix_delegations_delegator ON delegations (delegator);
CREATE INDEX ix_delegations_delegate ON delegations (delegate);
CREATE INDEX ix_recertifications_state ON recertifications (state);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
CREATE INDEX ix_reviews_person ON reviews (person);
CREATE INDEX ix_reviews_state ON reviews (state);
COMMIT;
