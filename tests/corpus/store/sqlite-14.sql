-- A store of version 14, made and filled by the program of that version. Never edited.
-- {"totp": "BK7FXTWIDD3SJ5ZLMAGW26MOHZLIPO3P", "user": "alice+SUP-1423", "pass": "gwp_vnjdknc47rpjctwvur4pctlnp2u5x37n"}
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
INSERT INTO "approvals" VALUES('req_ant5dxtwqcxcjhb6','p9',1772442000000000,'in_name_of of old');
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
INSERT INTO "ceremonies" VALUES(X'70616765206F66206F6C64',X'636F6C6C656374206F66206F6C64','kind of old','login of old','p9',X'636F6465206F66206F6C64',1,'address of old',X'696E7669746174696F6E206F66206F6C64','name of old',X'6368616C6C656E6765206F66206F6C64','waiting',X'63726564656E7469616C206F66206F6C64',X'7075626C69635F6B6579206F66206F6C64',1,1772442000000000);
CREATE TABLE changes (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	token TEXT NOT NULL,
	what TEXT NOT NULL,
	"row" TEXT NOT NULL,
	at BIGINT NOT NULL
);
INSERT INTO "changes" VALUES(1,'3e36e59a2b6c','','invitations',1795880762529601);
INSERT INTO "changes" VALUES(2,'a1dc90e44c2c','','invitations',1795880762532873);
INSERT INTO "changes" VALUES(3,'40525e591536','','factors',1795880762535800);
INSERT INTO "changes" VALUES(4,'55103a0d8e13','','invitations',1795880762535800);
INSERT INTO "changes" VALUES(5,'9f08e17d3d43','','recovery_codes',1795880762535800);
INSERT INTO "changes" VALUES(6,'718dcdef6a0d','','factors',1795880762537900);
INSERT INTO "changes" VALUES(7,'23c8cc4ed799','person','p1',1795880762544013);
INSERT INTO "changes" VALUES(8,'6e302fa0c94e','grant','grant_irphub42kxrurqly',1795880762552306);
INSERT INTO "changes" VALUES(9,'c33e301cc407','grant','grant_irphub42kxrurqly',1795880762556150);
INSERT INTO "changes" VALUES(10,'846c6f675695','','requests',1795880762559947);
INSERT INTO "changes" VALUES(11,'31afdcd7402e','','acts',1795880762590003);
INSERT INTO "changes" VALUES(12,'6dd7a37793d1','','approvals',1795880762590003);
INSERT INTO "changes" VALUES(13,'c421f00dfe4d','','ceremonies',1795880762590003);
INSERT INTO "changes" VALUES(14,'2fffbd63dae8','','delegations',1795880762590003);
INSERT INTO "changes" VALUES(15,'db42ac148895','','holds',1795880762590003);
INSERT INTO "changes" VALUES(16,'fc0aa6a1972b','','master_root',1795880762590003);
INSERT INTO "changes" VALUES(17,'9217f494979d','','provider_logins',1795880762590003);
INSERT INTO "changes" VALUES(18,'885d7053f335','','provider_people',1795880762590003);
INSERT INTO "changes" VALUES(19,'7a19a8247d68','','recertification_lines',1795880762590003);
INSERT INTO "changes" VALUES(20,'4cecf5e0ceba','','recertifications',1795880762590003);
INSERT INTO "changes" VALUES(21,'aca6061f1d5e','','reviews',1795880762590003);
INSERT INTO "changes" VALUES(22,'47bb6e2fcc79','','security_keys',1795880762590003);
INSERT INTO "changes" VALUES(23,'b74236b1f555','','suspensions',1795880762590003);
INSERT INTO "changes" VALUES(24,'130baea1cf25','','withdrawals',1795880762590003);
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
INSERT INTO "factors" VALUES('p1','totp',X'05FBF678F1A34D817ACA08D1849042426C44565D1E341529C7ABD6C687EB3C7C0B70AB1C67FB01D205F6107B981AABC2CCBAEE29AC402337B3A83B0E',1772442000000000,59081401);
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
INSERT INTO "grants" VALUES('grant_irphub42kxrurqly','req_ant5dxtwqcxcjhb6','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
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
INSERT INTO "invitations" VALUES(X'89FBC9DAF22DABA2EF2BB653A20D19EBD2C9EB12ADCD60197AA6E3E8A1D80628','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
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
INSERT INTO "passes" VALUES('pass_ygl7rhjcv2wvxtnz','grant_irphub42kxrurqly','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$0+k8DX4Jq7vlotRgqkNQgDBwk00gteoeWhQaVql0lLA=:mom6DDr63Ttkz8EeysBi4CmEvf8GARQXqyLAL/9V++M=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_ant5dxtwqcxcjhb6','p9','seen of old',1772442000000000);
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
INSERT INTO "recovery_codes" VALUES(X'B57F616D3F21A6871F15BB3AE2828DAC0582FDE9A9282E38437DC8FE5553A19D','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'895715AA17EFC5D6678C51D4F04DC9595D55E714AF99B474C6D88F6CB646B28B','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'DE42ACECC8C776CB11AE2447F4EA91ACDF0CB493FAB1DB9693B0B3750318CCB5','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'62D941292F7BBC0B426218EE95B6522BCF5B36B72EACEBB9077D81CC61DBD1DB','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'DD857989030F29A4FE2013952DA0DD34405E932127B55B4A990A73F371A200C6','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'0FBC8336A6517F993EE37415DEA8B85ECABE7A84C0B47A2483A46CE32A57CCCF','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'1E732B3E86EE7B28BC1CFF033CA68B4B6244275ED7FA7BE0DEBD525DA662BFB2','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'9F29CD281BD3F8D26F13C6045622C6DB90AE25AA9826F4C768C638A26F06F640','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'1F2D456FCD723101E8380AC5D7F3DBE6B55909D298AD8AE9F5A0E3D5CD4D1CD2','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'B29E6F75FB8ABF859490F24F0D080BC0B64A4E4804ADA39F4A90849255CC80F8','p1',NULL);
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
INSERT INTO "requests" VALUES('req_ant5dxtwqcxcjhb6','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','','');
INSERT INTO "requests" VALUES('req_jz6mfgusetlxnoxi','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','','');
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
INSERT INTO "reviews" VALUES('grant_irphub42kxrurqly','p9','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
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
INSERT INTO "security_keys" VALUES(X'63726564656E7469616C206F66206F6C64','p9',X'7075626C69635F6B6579206F66206F6C64',1,'name of old',1772442000000000,1772442000000000);
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
INSERT INTO "tokens" VALUES(X'F35E59B8EC4EFC4BC97C12E73FBCDCBED79E67B3D2EF2E5DA2AA0FDD9B7380FA','signin_e4v2tecr27hrmpaq','p1','totp',1772442030000000,1772442030000000,1772470830000000);
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
CREATE INDEX ix_cases_state ON cases (state);
CREATE INDEX cases_about ON cases (rule, about);
CREATE INDEX ix_notices_state ON notices (state);
CREATE INDEX ix_delegations_delegate ON delegations (delegate);
CREATE INDEX ix_delegations_delegator ON delegations (delegator);
CREATE INDEX ix_recertifications_state ON recertifications (state);
CREATE INDEX ix_changes_what ON changes (what);
CREATE INDEX ix_changes_at ON changes (at);
CREATE INDEX ix_security_keys_person ON security_keys (person);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
CREATE INDEX ix_reviews_state ON reviews (state);
CREATE INDEX ix_reviews_person ON reviews (person);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',24);
COMMIT;
