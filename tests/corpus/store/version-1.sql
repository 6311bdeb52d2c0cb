-- A store of schema version 1, as the first release made it. Never edited.
BEGIN TRANSACTION;
CREATE TABLE approvals (
  request_id TEXT NOT NULL,
  person TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (request_id, person),
  FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "approvals" VALUES('req_1','p3',1772442000000000);
CREATE TABLE factors (
  person TEXT NOT NULL,
  kind TEXT NOT NULL,
  sealed BLOB NOT NULL,
  enrolled_at BIGINT NOT NULL,
  last_step BIGINT NOT NULL,
  PRIMARY KEY (person)
);
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
  PRIMARY KEY (id),
  UNIQUE (request_id),
  FOREIGN KEY(request_id) REFERENCES requests (id)
);
INSERT INTO "grants" VALUES('grant_1','req_1','p1','payroll','file','SUP-1','["42"]','[["public.employees", "email"]]',0,'active',1772442000000000,1772445600000000,'["p3"]','');
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
CREATE TABLE lockouts (
  lane TEXT NOT NULL,
  failures INTEGER NOT NULL,
  failed_at BIGINT NOT NULL,
  PRIMARY KEY (lane)
);
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
INSERT INTO "passes" VALUES('pass_1','grant_1','p1','alice','payroll','SUP-1','SCRAM','totp',1772442000000000,1772442000000000,1772445600000000,0,0);
CREATE TABLE recovery_codes (
  hash BLOB NOT NULL,
  person TEXT NOT NULL,
  used_at BIGINT,
  PRIMARY KEY (hash)
);
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
  PRIMARY KEY (id)
);
INSERT INTO "requests" VALUES('req_1','p1','payroll','file','SUP-1','why','[["public.employees", "email"]]',0,3600,'approved',1772442000000000,1772442000000000,'');
INSERT INTO "requests" VALUES('req_2','p1','payroll','file','SUP-1','why','[["public.employees", "email"]]',0,3600,'pending',1772442000000000,NULL,'');
CREATE TABLE schema_version (
  version INTEGER NOT NULL,
  PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
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
CREATE INDEX ix_requests_person ON requests (person);
CREATE INDEX ix_requests_state ON requests (state);
CREATE INDEX ix_recovery_codes_person ON recovery_codes (person);
CREATE INDEX ix_invitations_person ON invitations (person);
CREATE INDEX ix_tokens_person ON tokens (person);
CREATE INDEX ix_grants_state ON grants (state);
CREATE INDEX ix_grants_person ON grants (person);
CREATE INDEX ix_passes_grant_id ON passes (grant_id);
COMMIT;
