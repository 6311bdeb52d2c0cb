-- A store of version 14, made by the first program of version 12 and brought up by that of version 14. Never edited.
-- {"totp": "YNHLUIEZYDO337N7IGLOZLH2SZL4S2TZ", "user": "alice+SUP-1423", "pass": "gwp_7lqcjwl2c4euxmaj45ednd2l5huiu72u"}
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
INSERT INTO "approvals" VALUES('req_2xfbizqwulw62sbs','p9',1772442000000000,'in_name_of of old');
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
CREATE TABLE ceremonies (
	page BLOB NOT NULL,
	collect BLOB NOT NULL,
	kind TEXT NOT NULL,
	login TEXT NOT NULL,
	person TEXT NOT NULL,
	code BLOB NOT NULL,
	tries INTEGER NOT NULL,
	address TEXT NOT NULL,
	invitation BLOB,
	name TEXT NOT NULL,
	challenge BLOB,
	state TEXT NOT NULL,
	credential BLOB,
	public_key BLOB,
	sign_count BIGINT DEFAULT '0' NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (page),
	UNIQUE (collect)
);
CREATE TABLE changes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	token TEXT NOT NULL,
	what TEXT NOT NULL,
	"row" TEXT NOT NULL,
	at BIGINT NOT NULL
);
INSERT INTO "changes" VALUES(1,'06dcbd6c8b0c','','invitations',1795880742920613);
INSERT INTO "changes" VALUES(2,'44dede7f1032','','invitations',1795880742927502);
INSERT INTO "changes" VALUES(3,'a02b272fd604','','factors',1795880742931394);
INSERT INTO "changes" VALUES(4,'c53a684ab9ed','','invitations',1795880742931394);
INSERT INTO "changes" VALUES(5,'dce0140b004a','','recovery_codes',1795880742931394);
INSERT INTO "changes" VALUES(6,'993e7ec4463c','','factors',1795880742934455);
INSERT INTO "changes" VALUES(7,'14f5244f943d','person','p1',1795880742938291);
INSERT INTO "changes" VALUES(8,'1aa2d578ceb1','grant','grant_igkg2boa7l5fa22a',1795880742944816);
INSERT INTO "changes" VALUES(9,'b6004d275521','grant','grant_igkg2boa7l5fa22a',1795880742955912);
INSERT INTO "changes" VALUES(10,'b167678fd253','','requests',1795880742958660);
INSERT INTO "changes" VALUES(11,'2ac597476e32','','acts',1795880742985124);
INSERT INTO "changes" VALUES(12,'a5555b4b078f','','approvals',1795880742985124);
INSERT INTO "changes" VALUES(13,'4c6c4e510956','','delegations',1795880742985124);
INSERT INTO "changes" VALUES(14,'6e48b0dabdda','','holds',1795880742985124);
INSERT INTO "changes" VALUES(15,'866a7efe7b03','','provider_logins',1795880742985124);
INSERT INTO "changes" VALUES(16,'ca1caa513a13','','provider_people',1795880742985124);
INSERT INTO "changes" VALUES(17,'bcffc0669894','','recertification_lines',1795880742985124);
INSERT INTO "changes" VALUES(18,'57a6d771a61f','','recertifications',1795880742985124);
INSERT INTO "changes" VALUES(19,'1ad60143ce90','','reviews',1795880742985124);
INSERT INTO "changes" VALUES(20,'8b4201372c75','','suspensions',1795880742985124);
INSERT INTO "changes" VALUES(21,'490bdb2c4dc7','','withdrawals',1795880742985124);
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
INSERT INTO "factors" VALUES('p1','totp',X'BD93CC67445DE21E0EF30355D078B254B821A921FF2C477F26C943BEEBD95FCF6B985E1E12B7A33B11B922911C1C04E832102DF73428E56521086344',1772442000000000,59081401);
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
INSERT INTO "grants" VALUES('grant_igkg2boa7l5fa22a','req_a3a24fp6mr5pf3oz','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
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
INSERT INTO "invitations" VALUES(X'ADDE94D33BB28B10D5459C0C7DCD05A6F85253C2CE344AF9740323D8CC9C2E33','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
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
INSERT INTO "passes" VALUES('pass_plfsku4tw2optm7p','grant_igkg2boa7l5fa22a','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$5KXDavYgGDA8gbrqX6d7AuRfsG5Hux6h4ZlHCeyt5OA=:PcNb1Jg1QYKq6p6yv2wS69+La2VZaIXWe7aYlQjJpP4=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_2xfbizqwulw62sbs','p9','seen of old',1772442000000000);
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
INSERT INTO "recovery_codes" VALUES(X'93D0192596414495676C361595B5B55353B428275E903C133C3D28E7A797FC9D','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'3768B77501A0AABCB9515EFCDF23D722FFB2D74D6EB1B9C7010680F59B028B34','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'F59F315B89349C276F69507FF0B02422180B66F39561B1430AC0E56A0E7279C1','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'749237037DAA65E951686C1EC43C9348D98A2ECB29B8EA15DB82FF5084D8A8DA','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'13EC518263F5398E3FBFF90B2C1631C9D371C26702A3B0A6A5AC28C8DC32FD83','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'CD598197892AC5D731797AC960E6F0B481756E110E14AF28BB582C3DCE70A392','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'6CF5CE8988C6F3C65AB22A1B3F44641021ED6F4D1C38CE4C78E563C0EC22DA5D','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'474010504E6FC3EE2FC106F8CF5B88817BA3E54234FF180ECD55C6CAE56F6908','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'52B1876003D20C7970168743C7BAFC3B48C5C3F9146716613E3F56951F7FC4FE','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'B0CCA136BE223ECD537ECF8E8CB4DA48AC827FB5FCAB32C9827338C89D7AE929','p1',NULL);
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
INSERT INTO "requests" VALUES('req_a3a24fp6mr5pf3oz','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','','');
INSERT INTO "requests" VALUES('req_2xfbizqwulw62sbs','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','','');
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
INSERT INTO "reviews" VALUES('grant_igkg2boa7l5fa22a','p9','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
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
INSERT INTO "schema_version" VALUES(14);
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
CREATE TABLE security_keys (
	credential BLOB NOT NULL,
	person TEXT NOT NULL,
	public_key BLOB NOT NULL,
	sign_count BIGINT NOT NULL,
	name TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	used_at BIGINT,
	PRIMARY KEY (credential)
);
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
INSERT INTO "tokens" VALUES(X'5D9A996B5395F9897EFBD5E02E64D500155C0E3754EA5EF2BF9D4E7CD068E045','signin_x7jglwe75biou3rg','p1','totp',1772442030000000,1772442030000000,1772470830000000);
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
CREATE INDEX ix_security_keys_person ON security_keys (person);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',21);
COMMIT;
