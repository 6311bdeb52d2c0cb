-- A store of version 12, made and filled by the program of that version. Never edited.
-- {"totp": "HTEHBEB3PHTJTLXZMHFAAIRBR5UWKTLN", "user": "alice+SUP-1423", "pass": "gwp_cy4jqcm4wvzgi35whrtf5kg3wevlwzt5"}
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
INSERT INTO "approvals" VALUES('req_ct2ynrvpjzwqwgb5','p9',1772442000000000,'in_name_of of old');
CREATE TABLE budget_shares (
	origin TEXT NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (origin)
);
INSERT INTO "budget_shares" VALUES('origin of old',X'64617461206F66206F6C64');
CREATE TABLE budget_summary (
	data BLOB NOT NULL,
	origin TEXT DEFAULT '' NOT NULL
);
INSERT INTO "budget_summary" VALUES(X'64617461206F66206F6C64','origin of old');
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
CREATE TABLE changes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	token TEXT NOT NULL,
	what TEXT NOT NULL,
	"row" TEXT NOT NULL,
	at BIGINT NOT NULL
);
INSERT INTO "changes" VALUES(1,'bf4199a98fd9','','invitations',1795880743923472);
INSERT INTO "changes" VALUES(2,'173694f34f10','','invitations',1795880743931089);
INSERT INTO "changes" VALUES(3,'84f0b3a04570','','factors',1795880743935561);
INSERT INTO "changes" VALUES(4,'4177d66512fe','','invitations',1795880743935561);
INSERT INTO "changes" VALUES(5,'55931d5f0f0a','','recovery_codes',1795880743935561);
INSERT INTO "changes" VALUES(6,'977684ee56b2','','factors',1795880743940648);
INSERT INTO "changes" VALUES(7,'d1379ff11fe8','person','p1',1795880743944715);
INSERT INTO "changes" VALUES(8,'5efb8ed02cff','grant','grant_nuehjbbeaqdob4x3',1795880743951009);
INSERT INTO "changes" VALUES(9,'db13dcc16c6b','grant','grant_nuehjbbeaqdob4x3',1795880743956498);
INSERT INTO "changes" VALUES(10,'ae956f9f7596','','requests',1795880743963636);
INSERT INTO "changes" VALUES(11,'5b66602f6f13','','acts',1795880743987356);
INSERT INTO "changes" VALUES(12,'bdee8798e541','','approvals',1795880743987356);
INSERT INTO "changes" VALUES(13,'dc119952c81a','','delegations',1795880743987356);
INSERT INTO "changes" VALUES(14,'17faa3996856','','holds',1795880743987356);
INSERT INTO "changes" VALUES(15,'b3552d8e7e06','','provider_logins',1795880743987356);
INSERT INTO "changes" VALUES(16,'e02b510e93f0','','provider_people',1795880743987356);
INSERT INTO "changes" VALUES(17,'69ca84623065','','recertification_lines',1795880743987356);
INSERT INTO "changes" VALUES(18,'6adacd0653cd','','recertifications',1795880743987356);
INSERT INTO "changes" VALUES(19,'24ed5bdc0633','','reviews',1795880743987356);
INSERT INTO "changes" VALUES(20,'65781a08df71','','suspensions',1795880743987356);
INSERT INTO "changes" VALUES(21,'6df5e9d1553d','','withdrawals',1795880743987356);
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
INSERT INTO "factors" VALUES('p1','totp',X'9CD6218F815B5FC770592D6B1A567F870011B7A4C1F4A26CA19013168683B2C5958ED5FAE0209593ED3758A6B18888199DE45C25FCCD5B38A9CFDEE6',1772442000000000,59081401);
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
INSERT INTO "grants" VALUES('grant_nuehjbbeaqdob4x3','req_ct2ynrvpjzwqwgb5','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
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
INSERT INTO "invitations" VALUES(X'0FE56599FD70415EC8211F16642BD94C35E3198873B5544153A43EA779EAEA9E','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
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
INSERT INTO "passes" VALUES('pass_krm3y4bgem3n2qnf','grant_nuehjbbeaqdob4x3','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$LOFctZj0uh8RPA55EtoPqJ5kE3GCt814MtqiTmP7EW8=:xIWNAWOyrwS2RKHIc+DT90ojyUnX5lLc5aFgmMLRJPo=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_ct2ynrvpjzwqwgb5','p9','seen of old',1772442000000000);
CREATE TABLE provider_logins (
	login TEXT NOT NULL,
	person TEXT NOT NULL,
	PRIMARY KEY (login)
);
INSERT INTO "provider_logins" VALUES('login of old','p9');
CREATE TABLE provider_people (
	person TEXT NOT NULL,
	issuer TEXT NOT NULL,
	subject TEXT NOT NULL,
	login TEXT NOT NULL,
	name TEXT NOT NULL,
	email TEXT NOT NULL,
	teams JSON NOT NULL,
	gone BOOLEAN NOT NULL,
	login_at BIGINT NOT NULL,
	confirmed_at BIGINT NOT NULL,
	sealed BLOB,
	turn_until BIGINT,
	PRIMARY KEY (person)
);
INSERT INTO "provider_people" VALUES('p9','issuer of old','subject of old','login of old','name of old','email of old','[]',0,1772442000000000,1772442000000000,X'7365616C6564206F66206F6C64',1772442000000000);
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
INSERT INTO "recovery_codes" VALUES(X'53147A0862D6D574742F1EB5B811AB89DADC43D60C48BAC3DD0010F53EFC0CE5','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'B147AD67672742FA5CAC0E4EC88A9846EDC0C47DA6DC43C5F20CD5395CB3E38E','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'3D8895489AF9D9A7A2BF1A85E62CB6541BCE73279F2C3017C5505B1D2BF53A91','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'9AE077AE9F3CB2C4DA4CF3E6F7F5570191771FA67025797A2870D45A18C4A872','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'1E72FFA60C4F5FBEB3EFD6B4CF916EA314489257FD268B033696BF35E67EBB62','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'F1A22DA770AB5B5AFF380D7FF38907D8E3F9AF78CBD04928CBADDA31F8EB11D4','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'109B30F522223061B6A20D4A22FBA1D91E740D334D0E7CA0DF24CB14627C73CE','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'E24009422C677CE8CFD9B331F5679A068CA76F17534AFDBF99C06AEA3D1C0D72','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'211A63B1347609312372AF958C1DEAAB8DC822EEDE01990001E5C8CECF2FB66A','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'EB0EA66657D22A31B1A63796D8EFA894D5CF0F9312595F0C9E2EDDA939585D7B','p1',NULL);
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
INSERT INTO "requests" VALUES('req_ct2ynrvpjzwqwgb5','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','','');
INSERT INTO "requests" VALUES('req_s5osl6v3cfm4yadc','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','','');
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
INSERT INTO "reviews" VALUES('grant_nuehjbbeaqdob4x3','p9','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
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
INSERT INTO "schema_version" VALUES(11);
INSERT INTO "schema_version" VALUES(12);
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
INSERT INTO "tokens" VALUES(X'5BC6347A544750B877324671878E94755712A0148F78F3FC388BBF2C7B77D063','signin_f7ydjeiql7v6233e','p1','totp',1772442030000000,1772442030000000,1772470830000000);
CREATE TABLE withdrawals (
	person TEXT NOT NULL,
	target TEXT NOT NULL,
	what TEXT NOT NULL,
	review_id TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (person, target, what)
);
INSERT INTO "withdrawals" VALUES('p9','target of old','what of old','review_id of old',1772442000000000);
CREATE INDEX ix_requests_state ON requests (state);
CREATE INDEX ix_requests_person ON requests (person);
CREATE INDEX ix_recovery_codes_person ON recovery_codes (person);
CREATE INDEX ix_invitations_person ON invitations (person);
CREATE INDEX ix_tokens_person ON tokens (person);
CREATE INDEX ix_acts_state ON acts (state);
CREATE INDEX ix_acts_person ON acts (person);
CREATE INDEX ix_cases_state ON cases (state);
CREATE INDEX cases_about ON cases (rule, about);
CREATE INDEX ix_notices_state ON notices (state);
CREATE INDEX ix_delegations_delegate ON delegations (delegate);
CREATE INDEX ix_delegations_delegator ON delegations (delegator);
CREATE INDEX ix_recertifications_state ON recertifications (state);
CREATE INDEX ix_changes_what ON changes (what);
CREATE INDEX ix_changes_at ON changes (at);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
CREATE INDEX ix_reviews_state ON reviews (state);
CREATE INDEX ix_reviews_person ON reviews (person);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',21);
COMMIT;
