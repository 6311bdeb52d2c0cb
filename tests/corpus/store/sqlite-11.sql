-- A store of version 11, made and filled by the program of that version. Never edited.
-- {"totp": "EIONUHJIJJTTGMXLAD7Q5XW6QYNXF5DT", "user": "alice+SUP-1423", "pass": "gwp_yospeehpc7cyf7he2mqf5hrcjwukbq64"}
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
INSERT INTO "approvals" VALUES('req_r223f4tjrrqxvry3','p9',1772442000000000,'in_name_of of old');
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
INSERT INTO "changes" VALUES(1,'bde677ffdff7','','invitations',1795880742002225);
INSERT INTO "changes" VALUES(2,'fe67ba0929c1','','invitations',1795880742011985);
INSERT INTO "changes" VALUES(3,'8bb658ecb3f2','','factors',1795880742017093);
INSERT INTO "changes" VALUES(4,'af009bdb8501','','invitations',1795880742017093);
INSERT INTO "changes" VALUES(5,'de25b333a56e','','recovery_codes',1795880742017093);
INSERT INTO "changes" VALUES(6,'9024a77c96de','','factors',1795880742020688);
INSERT INTO "changes" VALUES(7,'93c58662b7f1','person','p1',1795880742022007);
INSERT INTO "changes" VALUES(8,'55286d1e5b56','grant','grant_2i5qsak3mrcvwtfy',1795880742034959);
INSERT INTO "changes" VALUES(9,'3afb4863cfd1','grant','grant_2i5qsak3mrcvwtfy',1795880742045863);
INSERT INTO "changes" VALUES(10,'f0961f7949e1','','requests',1795880742052425);
INSERT INTO "changes" VALUES(11,'52ab668f61ce','','acts',1795880742074190);
INSERT INTO "changes" VALUES(12,'df36195691e6','','approvals',1795880742074190);
INSERT INTO "changes" VALUES(13,'47521cf540a3','','delegations',1795880742074190);
INSERT INTO "changes" VALUES(14,'e6f9a15a63e2','','holds',1795880742074190);
INSERT INTO "changes" VALUES(15,'90b682a067f9','','recertification_lines',1795880742074190);
INSERT INTO "changes" VALUES(16,'5ce0850fe918','','recertifications',1795880742074190);
INSERT INTO "changes" VALUES(17,'513ef3925ea8','','reviews',1795880742074190);
INSERT INTO "changes" VALUES(18,'d09e5d9116a6','','suspensions',1795880742074190);
INSERT INTO "changes" VALUES(19,'3bfac3c76a21','','withdrawals',1795880742074190);
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
INSERT INTO "factors" VALUES('p1','totp',X'73632706D120CA8271B21A4999BE81E58C66A18F3179C54076B29FE11F7304C28607EED31F225E1EB5A92848CF37815BC2DFB3CAF2A2636680AB11C3',1772442000000000,59081401);
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
INSERT INTO "grants" VALUES('grant_2i5qsak3mrcvwtfy','req_r223f4tjrrqxvry3','p1','payroll','memory','SUP-1423','["42"]','[]',0,'active',1772442060000000,1772445660000000,'[]','','','',NULL,0);
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
INSERT INTO "invitations" VALUES(X'2468594AEBD85DD476B729C3DCBCD40B2CAF25D65C013E296CAFC79FC27C2123','p1','local',1772442000000000,1772701200000000,NULL,1772442000000000);
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
INSERT INTO "passes" VALUES('pass_nc66axivuex43ddn','grant_2i5qsak3mrcvwtfy','p1','alice','payroll','SUP-1423','SCRAM-SHA-256$4096:kaccxguRRuIcjUZj85xR8g==$F/BQIog97F4LkfME5xIbBz1805lmvf3kTf4Hju8V7pM=:uHVNTgOydz5cFkJSlVwA6CO9oHyGVgtqJHraijKRJDM=','totp',1772442030000000,1772442060000000,1772445660000000,0,0);
CREATE TABLE previews (
	request_id TEXT NOT NULL,
	person TEXT NOT NULL,
	seen TEXT NOT NULL,
	at BIGINT NOT NULL,
	PRIMARY KEY (request_id, person),
	FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "previews" VALUES('req_r223f4tjrrqxvry3','p9','seen of old',1772442000000000);
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
INSERT INTO "recovery_codes" VALUES(X'F756CF6A7EEBD259A62FCE3944853649D3AE01568440CA5EA8416E46845FC96E','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'526B2D4B500F4BC5F40A3129776A82B291D99C7C5388EC7DD3C96A1CF66BCCB8','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'C9E752BB5D17A0FAFAFC71549C93D4E444BE9A4C20DD2334BC08DCCB9BC0C42C','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'A76512555E5BAF5F3B09167A48EB6BD7394EB63F9C33A20E5650D5E7487E2065','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'E929F791D60EB340AA2356CFE4163BFBDFF1E0DB48A51121DC9FF00092A2CC3F','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'3D5DE7EE3344C1C69D294343D04D344B6D7AC5E4C33CB067721BA73110EBDE08','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'F3175FE79F0DBA7A2386870423D406618E8296CB4CB1288335607D9A5C7BD7C3','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'7EEF5DCBAA678AC4BBF7DF5D3D9A06F9724F7DD0302C201D14129468EE268052','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'1DC5135FD26EA5A215EF08BA03E3A491EDDB90B4EC6CFFF10D8F47C3E121B063','p1',NULL);
INSERT INTO "recovery_codes" VALUES(X'D6B82B1D418A13909E0B66C30AE3DC0C91C1338700A8C20DD9290E783B3F69EB','p1',NULL);
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
INSERT INTO "requests" VALUES('req_r223f4tjrrqxvry3','p1','payroll','memory','SUP-1423','','[]',0,3600,'approved',1772442060000000,1772442060000000,'approved by policy','','','');
INSERT INTO "requests" VALUES('req_zim7wbrbxsnxuxix','p1','payroll','memory','SUP-1424','a call','[["public.employees", "email"]]',0,3600,'pending',1772442060000000,NULL,'','','','');
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
INSERT INTO "reviews" VALUES('grant_2i5qsak3mrcvwtfy','p9','target of old','ticket_id of old','reason of old','justified',1772442000000000,1772442000000000,'reviewed_by of old',1772442000000000,'note of old');
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
INSERT INTO "tokens" VALUES(X'E679E3D670FBDF62CF6FD2E983684F3636A291A524E6354468A6641D834B577D','signin_ekyjiuj7gmkldpp2','p1','totp',1772442030000000,1772442030000000,1772470830000000);
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
CREATE INDEX ix_acts_state ON acts (state);
CREATE INDEX ix_acts_person ON acts (person);
CREATE INDEX cases_about ON cases (rule, about);
CREATE INDEX ix_cases_state ON cases (state);
CREATE INDEX ix_notices_state ON notices (state);
CREATE INDEX ix_delegations_delegator ON delegations (delegator);
CREATE INDEX ix_delegations_delegate ON delegations (delegate);
CREATE INDEX ix_recertifications_state ON recertifications (state);
CREATE INDEX ix_changes_at ON changes (at);
CREATE INDEX ix_changes_what ON changes (what);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
CREATE INDEX ix_reviews_person ON reviews (person);
CREATE INDEX ix_reviews_state ON reviews (state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',19);
COMMIT;
