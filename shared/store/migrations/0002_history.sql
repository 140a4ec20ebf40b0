-- How far the recorder has read each stream. It moves in the transaction that records what was read.
CREATE TABLE positions (
    stream {text} NOT NULL PRIMARY KEY,
    -- When the stream was made: another one begins anew.
    incarnation BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- When what lies there was stored.
    at BIGINT NOT NULL
);

-- What a stream let go of before it was recorded.
CREATE TABLE gaps (
    stream {text} NOT NULL,
    incarnation BIGINT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    -- Between the records before and behind it.
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (stream, incarnation, first_seq)
);
CREATE INDEX gaps_until ON gaps (until);

-- One row a delivery: how it stands, by the precedence of the ledger, with its attempts.
CREATE TABLE deliveries (
    id {text} NOT NULL PRIMARY KEY,
    org {text} NOT NULL,
    integration_id {text} NOT NULL,
    provider {text} NOT NULL,
    -- Of a digest: of its first member; all of them are in delivery_events.
    event_id {text} NOT NULL,
    event_source {text} NOT NULL,
    event_type {text} NOT NULL,
    event_seq BIGINT NOT NULL,
    event_count BIGINT NOT NULL,
    -- When its event was accepted.
    created_at BIGINT NOT NULL,
    status {text} NOT NULL,
    -- Generation, precedence of the status, attempt and source in one number: of two reports the higher one counts.
    rank BIGINT NOT NULL,
    -- When it came to stand so.
    changed_at BIGINT NOT NULL,
    next_attempt_at BIGINT,
    error_message TEXT,
    history_json TEXT NOT NULL
);
-- Lists are in the order of the last two columns of their index, so that a page is a piece of it.
CREATE INDEX deliveries_created ON deliveries (created_at, id);
CREATE INDEX deliveries_org ON deliveries (org, created_at, id);
CREATE INDEX deliveries_integration ON deliveries (integration_id, created_at, id);
CREATE INDEX deliveries_event_type ON deliveries (org, event_type, created_at, id);
CREATE INDEX deliveries_event ON deliveries (event_id, id);
-- Most are delivered: these stay small.
CREATE INDEX deliveries_status ON deliveries (org, status, created_at, id) WHERE status <> 'delivered';
CREATE INDEX deliveries_integration_status ON deliveries (integration_id, status, created_at, id)
    WHERE status <> 'delivered';

-- The members of digests.
CREATE TABLE delivery_events (
    delivery_id {text} NOT NULL,
    event_id {text} NOT NULL,
    event_source {text} NOT NULL,
    event_type {text} NOT NULL,
    event_seq BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (delivery_id, event_seq)
);
CREATE INDEX delivery_events_event ON delivery_events (event_id, delivery_id);
CREATE INDEX delivery_events_created ON delivery_events (created_at);

-- Events that matched nothing: ranges of sequences in EVENTS.
CREATE TABLE unrouted (
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (first_seq, at)
);
CREATE INDEX unrouted_at ON unrouted (at);

-- The index of DEAD: a dead letter itself stays in the stream.
CREATE TABLE dead_letters (
    -- Its sequence in DEAD, of which its id is made.
    seq BIGINT NOT NULL PRIMARY KEY,
    -- When that DEAD was made.
    incarnation BIGINT NOT NULL,
    at BIGINT NOT NULL,
    stage {text} NOT NULL,
    reason {text} NOT NULL,
    message TEXT NOT NULL,
    fingerprint {text} NOT NULL,
    -- What names no valid org is the default org's.
    org {text} NOT NULL,
    provider {text},
    integration_id {text},
    delivery_id {text},
    generation BIGINT,
    attempt BIGINT NOT NULL,
    event_id {text},
    event_source {text},
    event_type {text},
    event_seq BIGINT,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    replayed_at BIGINT,
    discarded_at BIGINT
);
CREATE INDEX dead_letters_org ON dead_letters (org, seq);
CREATE INDEX dead_letters_integration ON dead_letters (integration_id, seq);
CREATE INDEX dead_letters_fingerprint ON dead_letters (org, fingerprint, seq);
CREATE INDEX dead_letters_delivery ON dead_letters (delivery_id);
CREATE INDEX dead_letters_event ON dead_letters (event_id);
-- Events that could not become deliveries.
CREATE INDEX dead_letters_unrouted ON dead_letters (event_seq) WHERE delivery_id IS NULL;
CREATE INDEX dead_letters_at ON dead_letters (at);
