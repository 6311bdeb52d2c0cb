-- A store of version 13, made and filled by the program of that version. Never edited.
-- {"totp": "4GFGBMYD7TIO6CWR3CJ2N2OWGMRGN5SH", "user": "alice+SUP-1423", "pass": "gwp_hdqaam5tirkllebaieymps6jfjsd45xa"}
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
INSERT INTO "approvals" VALUES('req_6udvlbfijee5rw4h','p9',1772442000000000,'in_name_of of old');
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
INSERT INTO "changes" VALUES(1,'9b89626e0ddc','','invitations',1795880744957398);
INSERT INTO "changes" VALUES(2,'0fe03fbde6ce','','invitations',1795880744963277);
INSERT INTO "changes" VALUES(3,'d232442638b1','','factors',1795880744967131);
INSERT INTO "changes" VALUES(4,'283a64c11e0d','','invitations',1795880744967131);
INSERT INTO "changes" VALUES(5,'446d245a157a','','recovery_codes',1795880744967131);
INSERT INTO "changes" VALUES(6,'4f0d5a4e0525','','factors',1795880744974803);
INSERT INTO "changes" VALUES(7,'e07bef880420','person','p1',1795880744976191);
INSERT INTO "changes" VALUES(8,'656b8a715ac3','grant','grant_2jmho24znxef5gce',1795880744984934);
INSERT INTO "changes" VALUES(9,'c2285cfa55d4','grant','grant_2jmho24znxef5gce',1795880744992910);
INSERT INTO "changes" VALUES(10,'015470be1899','','requests',1795880744997564);
INSERT INTO "changes" VALUES(11,'47b034e1e6ee','','acts',1795880745023142);
INSERT INTO "changes" VALUES(12,'577087a8b3f6','','approvals',1795880745023142);
INSERT INTO "changes" VALUES(13,'06360440c99a','','delegations',1795880745023142);
INSERT INTO "changes" VALUES(14,'52ac9e14d8b2','','holds',1795880745023142);
INSERT INTO "changes" VALUES(15,'c9c514d7fe46','','master_root',1795880745023142);
INSERT INTO "changes" VALUES(16,'44564b8ed944','','provider_logins',1795880745023142);
INSERT INTO "changes" VALUES(17,'7be0fe7b9d0f','','provider_people',1795880745023142);
INSERT INTO "changes" VALUES(18,'2a4d171de66e','','recertification_lines',1795880745023142);
INSERT INTO "changes" VALUES(19,'ffd43c2828ec','','recertifications',1795880745023142);
INSERT INTO "changes" VALUES(20,'ca46bbca1e74','','reviews',1795880745023142);
INSERT INTO "changes" VALUES(21,'523452c8041a','','suspensions',1795880745023142);
INSERT INTO "changes" VALUES(22,'3407d7204e00','','withdrawals',1795880745023142);
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
INSERT INTO "factors" VALUES('p1','totp',X'727A14D53D7E12EE42E03829E3881A25FA6CFB8C4FEA3AFB110305964CF8C4B72A615BA061109037E0D139FBCB5971EDF5C8AC05E0DC10AE81C515CD',1772442000000000,59081401);
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
INSERT INTO "grants" VALUES('grant_2jmho24znxef5gce','req_6udvlbfijee5rw4h','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
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
INSERT INTO "invitations" VALUES(X'E1BCDE5C9348455ACB48A861B4E18DC7BA5709B11D13D0BAD290D0BD85945E80','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
CREATE TABLE lockouts (
	lane TEXT NOT NULL,
	failures INTEGER NOT NULL,
	failed_at BIGINT NOT NULL,
	PRIMARY KEY (lane)
);
INSERT INTO "lockouts" VALUES('lane of old',1,1772442000000000);
CREATE TABLE master_root (
	id INTEGER NOT NULL,
	master TEXT NOT NULL,
	sealed BLOB NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "master_root" VALUES(1,'master of old',X'7365616C6564206F66206F6C64');
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
INSERT INTO "passes" VALUES('pass_6fgpkhx7xl77kty6','grant_2jmho24znxef5gce','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$VTOXeUPP9EJ3PsT3WsulxzHWddVEI9u/nJghpnbj54A=:Ymf6pNI3KX+IH4rcmzgqogItbF3/NYrGN1lr+KF0rbY=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_6udvlbfijee5rw4h','p9','seen of old',1772442000000000);
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
	PRIMARY KEY (person)
);
INSERT INTO "provider_people" VALUES('p9','issuer of old','subject of old','login of old','name of old','email of old','[]',0,1772442000000000,1772442000000000,X'7365616C6564206F66206F6C64');
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
INSERT INTO "recovery_codes" VALUES(X'3D076F86F7AD7DF2311E497F5DD637ACC57E3A7D377AE2EBE2FAACEE06AA133E','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'D30047A44644966A4CC5ABB28F84C525CD7BCBB6D50292A0A2BDD4B98CC9C3A9','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'7F9B7F70CA05ADE54226107B0FE8CE3A0AFA62D4F7F764EEC67B209731B7708E','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'A586A3BE2D7C162BA6C7F0D5BDB137AB4B72C2D6FACAD3D78E8A3A2357149B56','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'C34E3826D62B56CBCAA08B6955C4E66D8ADFA135130A5164FF53AFABC8C42A80','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'718491AF8C7A510145F1C14048C87B7FC475B5B8C1761EEBD4B9443F0FD9DF78','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'06EF9E2AD91ACEFA73256374ACE5B5FFA849B609C8AEF453C45C367C805122BA','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'263D50DC8BC8D760C58C547C030769BC48B71CA151EE4912E1D081AA16550757','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'D364CB2C208D7BBB07B932163165FEC8E30070BF94F90ABE285DB4E4836607A7','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'813903181C341E4323F7ABC6588A01CB7A51AE16A4947014D631D998F8C0A8CA','p1',NULL);
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
INSERT INTO "requests" VALUES('req_6udvlbfijee5rw4h','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','','');
INSERT INTO "requests" VALUES('req_ffliy5kws2mun4sx','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','','');
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
INSERT INTO "reviews" VALUES('grant_2jmho24znxef5gce','p9','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
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
INSERT INTO "schema_version" VALUES(13);
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
INSERT INTO "tokens" VALUES(X'CD599329EE88BAD956E4D493E70351F8960ACEA04A4423BF4FF2117B5D2275D1','signin_uxhdqiyipicwanfp','p1','totp',1772442030000000,1772442030000000,1772470830000000);
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
CREATE INDEX ix_acts_person ON acts (person);
CREATE INDEX ix_acts_state ON acts (state);
CREATE INDEX cases_about ON cases (rule, about);
CREATE INDEX ix_cases_state ON cases (state);
CREATE INDEX ix_notices_state ON notices (state);
CREATE INDEX ix_delegations_delegate ON delegations (delegate);
CREATE INDEX ix_delegations_delegator ON delegations (delegator);
CREATE INDEX ix_recertifications_state ON recertifications (state);
CREATE INDEX ix_changes_what ON changes (what);
CREATE INDEX ix_changes_at ON changes (at);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
CREATE INDEX ix_reviews_person ON reviews (person);
CREATE INDEX ix_reviews_state ON reviews (state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',22);
COMMIT;
