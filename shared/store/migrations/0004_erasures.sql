-- What is being erased, or was: all of an org, or one event of it. Nothing of what it was is kept here but its name.
CREATE TABLE erasures (
    id {text} NOT NULL PRIMARY KEY,
    org {text} NOT NULL,
    -- NULL: all of the org.
    event_id {text},
    event_source {text},
    -- Which step comes next: withdrawing, streams, recording, history; or done.
    state {text} NOT NULL,
    -- How much was erased of each kind, and up to where streams have to be recorded.
    progress_json TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX erasures_open ON erasures (started_at) WHERE ended_at IS NULL;
CREATE INDEX erasures_event ON erasures (org, event_id);
