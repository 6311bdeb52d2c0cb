-- A store of revision 15, made and filled by the program of its time. Never edited.
-- {"totp": "FIES7UL62C6QR2SGTPP7FZTJRD5UDMKV", "user": "alice+SUP-1423", "pass": "gwp_4sj6khcx56zdhhibvdvg2k5mt5hyvli3"}
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
INSERT INTO "acts" VALUES('id of old','does of old','[]',X'7365616C6564206F66206F6C64','reason of old','person of old','done',1772442000000000,'decided_by of old',1772442000000000,'decision_reason of old',1772442000000000);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0015');
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
	at BIGINT NOT NULL, in_name_of TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "approvals" VALUES('req_fzepiki44qslfhvu','person of old',1772442000000000,'in_name_of of old');
CREATE TABLE budget_shares (
	origin TEXT NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (origin)
);
INSERT INTO "budget_shares" VALUES('origin of old',X'64617461206F66206F6C64');
CREATE TABLE budget_summary (
	data BLOB NOT NULL
, origin TEXT DEFAULT '' NOT NULL);
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
INSERT INTO "ceremonies" VALUES(X'70616765206F66206F6C64',X'636F6C6C656374206F66206F6C64','kind of old','login of old','person of old',X'636F6465206F66206F6C64',1,'address of old',X'696E7669746174696F6E206F66206F6C64','name of old',X'6368616C6C656E6765206F66206F6C64','waiting',X'63726564656E7469616C206F66206F6C64',X'7075626C69635F6B6579206F66206F6C64',1,1772442000000000);
CREATE TABLE changes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	token TEXT NOT NULL,
	what TEXT NOT NULL,
	"row" TEXT NOT NULL,
	at BIGINT NOT NULL
);
INSERT INTO "changes" VALUES(1,'cf340bcd7b14','','invitations',1795882855754559);
INSERT INTO "changes" VALUES(2,'4f05e84c1a81','','invitations',1795882855772604);
INSERT INTO "changes" VALUES(3,'0597ebd81844','','factors',1795882855789253);
INSERT INTO "changes" VALUES(4,'63debd2f9a30','','invitations',1795882855789253);
INSERT INTO "changes" VALUES(5,'891a41d9773b','','recovery_codes',1795882855789253);
INSERT INTO "changes" VALUES(6,'380cb9da65cb','','factors',1795882855810525);
INSERT INTO "changes" VALUES(7,'6903df8a4618','person','p1',1795882855816332);
INSERT INTO "changes" VALUES(8,'b1ba8721328f','grant','grant_jwirexqee5zxafqe',1795882855843681);
INSERT INTO "changes" VALUES(9,'df4f85f9e3cb','grant','grant_jwirexqee5zxafqe',1795882855883719);
INSERT INTO "changes" VALUES(10,'c8314dd1d19e','','requests',1795882855895219);
INSERT INTO "changes" VALUES(11,'bd5a132bfc6b','','acts',1795882855998290);
INSERT INTO "changes" VALUES(12,'6b24720772d6','','approvals',1795882855998290);
INSERT INTO "changes" VALUES(13,'f950ef37de02','','ceremonies',1795882855998290);
INSERT INTO "changes" VALUES(14,'30dbf510a0ca','','delegations',1795882855998290);
INSERT INTO "changes" VALUES(15,'661ee1b60f44','','holds',1795882855998290);
INSERT INTO "changes" VALUES(16,'dcdd9e2a9cb4','','master_root',1795882855998290);
INSERT INTO "changes" VALUES(17,'27df634f2a6e','','provider_logins',1795882855998290);
INSERT INTO "changes" VALUES(18,'bb57b0ccc51f','','provider_people',1795882855998290);
INSERT INTO "changes" VALUES(19,'439514e7cef1','','recertification_lines',1795882855998290);
INSERT INTO "changes" VALUES(20,'38922cb32222','','recertifications',1795882855998290);
INSERT INTO "changes" VALUES(21,'bf670038f25c','','reviews',1795882855998290);
INSERT INTO "changes" VALUES(22,'54202f9ddc7d','','security_keys',1795882855998290);
INSERT INTO "changes" VALUES(23,'7c0028d0bbe1','','suspensions',1795882855998290);
INSERT INTO "changes" VALUES(24,'a4749f122e20','','withdrawals',1795882855998290);
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
INSERT INTO "factors" VALUES('p1','totp',X'DB299894D79B12A9F85A2A41824F5AF746276FD5E0060F7F50B5676C33862BBB08F326F6CBD5CE3D32594C1615E89ACEF8D3F4B1B99360A08926588C',1772442000000000,59081401);
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
	ended_reason TEXT DEFAULT '' NOT NULL, statement TEXT DEFAULT '' NOT NULL, spent_by TEXT DEFAULT '' NOT NULL, spent_at BIGINT, break_glass BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(request_id) REFERENCES requests (id),
	UNIQUE (request_id)
);
INSERT INTO "grants" VALUES('grant_jwirexqee5zxafqe','req_v23lrfyscd2xa3vp','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
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
INSERT INTO "invitations" VALUES(X'B16FF44EF0476133E71BDAA1C28AD015995152EB4E8279EB99E170E83BB78E0C','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
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
INSERT INTO "passes" VALUES('pass_sip3be3q6aq2uxfe','grant_jwirexqee5zxafqe','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$Uy1E+OtVJw6xqGOtOhOGV8CBEm6NLhCo2BiRBmh/hYI=:YizpYCj1Y7Z2fO6sWkNfq9nKjWkYy4DHZTDFdDUeN9c=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_fzepiki44qslfhvu','person of old','seen of old',1772442000000000);
CREATE TABLE provider_logins (
	login TEXT NOT NULL,
	person TEXT NOT NULL,
	PRIMARY KEY (login)
);
INSERT INTO "provider_logins" VALUES('login of old','person of old');
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
INSERT INTO "provider_people" VALUES('person of old','issuer of old','subject of old','login of old','name of old','email of old','[]',0,1772442000000000,1772442000000000,X'7365616C6564206F66206F6C64',1772442000000000);
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
INSERT INTO "recertification_lines" VALUES('id of old',1,'person of old','login of old','name of old','target of old','what of old','[]',1772442000000000,1,0,'decision of old','decided_by of old',1772442000000000,'reason of old');
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
INSERT INTO "recovery_codes" VALUES(X'EA98B3DECEC6BC8486E1A0F0D1D4E4C280279094A6641AA9AA41A341F6B81D2A','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'AB8FD985B2E8DDDC80F7F680CF20E496C3038AAD821DA86493F7C8269178B27C','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'BDFA157DEBA7402F6A1FC4AF91C3C436A03B307F094B764346892BDF6008CC2A','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'1E085C9025DF1D4196EE09E43D47E073D31F9E5A806D558981A36BA3A9D8E517','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'A9BC91448904C6A5084B8D7806C2DA9AABBB34D857997156951E6FFFC0CD65A4','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'4F313DD7ED38B9FC131D86DB0CDFEF7E9C294C8C34E264C4EBDBD12F6A265E5A','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'39002E2DBAE62534FE4143373DDFB40BCA51F4D575BBBCD15CF657AF219C4169','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'5FE50435DCF17169622A4F07E9E2F47B78899D4F058DEA89C1A5687AAEA32D02','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'A011E8BCDB57052F9707035CC3D2754615708D3EBBA420E5C117F8ADBB0E58D0','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'A23B170FE52815C42CBAD217E140DEC5F9BCB8C9F0DF91A510C05A255F567B65','p1',NULL);
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
	decision_reason TEXT DEFAULT '' NOT NULL, statement TEXT DEFAULT '' NOT NULL, digest TEXT DEFAULT '' NOT NULL, extends TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "requests" VALUES('req_v23lrfyscd2xa3vp','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','','');
INSERT INTO "requests" VALUES('req_fzepiki44qslfhvu','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','','');
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
INSERT INTO "reviews" VALUES('grant_jwirexqee5zxafqe','person of old','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(15);
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
INSERT INTO "security_keys" VALUES(X'63726564656E7469616C206F66206F6C64','person of old',X'7075626C69635F6B6579206F66206F6C64',1,'name of old',1772442000000000,1772442000000000);
CREATE TABLE suspensions (
	person TEXT NOT NULL,
	suspended_by TEXT NOT NULL,
	reason TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (person)
);
INSERT INTO "suspensions" VALUES('person of old','suspended_by of old','reason of old',1772442000000000);
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
INSERT INTO "tokens" VALUES(X'F3EEFFC042EAAFE8FF25C07CE109ADC1D2F18D17CCB51D1CBA7CDE8C67373317','signin_zxqkwttmh76hctn5','p1','totp',1772442030000000,1772442030000000,1772470830000000);
CREATE TABLE withdrawals (
	person TEXT NOT NULL,
	target TEXT NOT NULL,
	what TEXT NOT NULL,
	review_id TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (person, target, what)
);
INSERT INTO "withdrawals" VALUES('person of old','target of old','what of old','review_id of old',1772442000000000);
CREATE INDEX ix_requests_person ON requests (person);
CREATE INDEX ix_requests_state ON requests (state);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
CREATE INDEX ix_recovery_codes_person ON recovery_codes (person);
CREATE INDEX ix_invitations_person ON invitations (person);
CREATE INDEX ix_tokens_person ON tokens (person);
CREATE INDEX ix_acts_person ON acts (person);
CREATE INDEX ix_acts_state ON acts (state);
CREATE INDEX ix_reviews_person ON reviews (person);
CREATE INDEX ix_reviews_state ON reviews (state);
CREATE INDEX cases_about ON cases (rule, about);
CREATE INDEX ix_cases_state ON cases (state);
CREATE INDEX ix_notices_state ON notices (state);
CREATE INDEX ix_delegations_delegate ON delegations (delegate);
CREATE INDEX ix_delegations_delegator ON delegations (delegator);
CREATE INDEX ix_recertifications_state ON recertifications (state);
CREATE INDEX ix_changes_at ON changes (at);
CREATE INDEX ix_changes_what ON changes (what);
CREATE INDEX ix_security_keys_person ON security_keys (person);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',24);
COMMIT;
