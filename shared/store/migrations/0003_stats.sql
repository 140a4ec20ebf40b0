-- What happened in each hour and each day: counts and histograms, written together with the rows that they count.
CREATE TABLE stats (
    -- Whose and when, in one text, so that a span of time is a range of it: see src/history/stats/slot.rs.
    slot {text} NOT NULL PRIMARY KEY,
    -- When the hour or the day begins.
    at BIGINT NOT NULL,
    figures_json TEXT NOT NULL
);
CREATE INDEX stats_at ON stats (at);
