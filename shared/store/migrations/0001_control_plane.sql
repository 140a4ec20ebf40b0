-- Times are nanoseconds since 1970 in UTC, texts named *_json are JSON, flags are 0 or 1.
-- {bytes}, {key} and {text} are written as the database at hand has them: see src/migrate.rs. {text} is for what is
-- compared or sorted, byte by byte.

-- What is known of this database itself, by name.
CREATE TABLE meta (
    name {text} NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE orgs (
    name {text} NOT NULL PRIMARY KEY,
    title TEXT,
    status {text} NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id {text} NOT NULL PRIMARY KEY,
    -- NULL: any org.
    org {text},
    name {text} NOT NULL,
    -- SHA-256 of the key, in lower-case hexadecimal digits.
    hash {text} NOT NULL,
    -- Its last characters, by which people know it again.
    hint TEXT NOT NULL,
    scopes_json TEXT NOT NULL,
    principal_kind {text} NOT NULL,
    principal_id {text} NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    -- The key that took its place.
    replaced_by {text},
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE INDEX api_keys_org ON api_keys (org, id);

CREATE TABLE event_types (
    org {text} NOT NULL,
    name {text} NOT NULL,
    -- The registration, as KV carries it.
    body {bytes} NOT NULL,
    revision BIGINT NOT NULL,
    -- Kept after the registration is gone, so that a later one has a higher revision.
    deleted_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org, name)
);

CREATE TABLE integrations (
    id {text} NOT NULL PRIMARY KEY,
    org {text} NOT NULL,
    name {text} NOT NULL,
    provider {text} NOT NULL,
    -- What its owner set: active, inactive, pending_setup, deleted.
    status {text} NOT NULL,
    -- 1 where a person paused it.
    held BIGINT NOT NULL DEFAULT 0,
    -- One more each time it is paused or resumed.
    hold_revision BIGINT NOT NULL DEFAULT 0,
    -- The integration, as KV carries it.
    body {bytes} NOT NULL,
    -- Why its last test failed.
    error_message TEXT,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
-- Of those that live, one bears a name.
CREATE UNIQUE INDEX integrations_name ON integrations (org, name) WHERE deleted_at IS NULL;

-- What an integration was at each revision, without its secrets.
CREATE TABLE integration_revisions (
    integration_id {text} NOT NULL,
    revision BIGINT NOT NULL,
    body {bytes} NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (integration_id, revision)
);

-- What KV may not hold yet: each change is written here in its own transaction, and removed once KV has it.
CREATE TABLE outbox (
    kind {text} NOT NULL,
    id {text} NOT NULL,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX outbox_at ON outbox (at);

CREATE TABLE audit (
    -- A UUIDv7, or derived from what was seen to change, so that it is told once.
    id {text} NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    -- NULL: the installation.
    org {text},
    actor_kind {text} NOT NULL,
    actor_id {text} NOT NULL,
    key_id {text},
    address TEXT,
    request_id TEXT,
    action {text} NOT NULL,
    object_kind {text} NOT NULL,
    object_id {text} NOT NULL,
    object_name {text},
    before_json TEXT,
    after_json TEXT
);
CREATE INDEX audit_at ON audit (at, id);
CREATE INDEX audit_org ON audit (org, at, id);
CREATE INDEX audit_object ON audit (object_kind, object_id, at, id);
CREATE INDEX audit_actor ON audit (actor_id, at, id);
CREATE INDEX audit_action ON audit (action, at, id);
