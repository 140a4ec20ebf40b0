//! Figures as answers show them.

use serde::Serialize;
use signalbox_proto::{Name, Timestamp};
use signalbox_store::history::{
    Figures,
    stats::{Count, Histogram},
};
use utoipa::ToSchema;

use super::lag;
use crate::schema;

/// What a series may be cut into, as requests say it.
pub(crate) const GROUPS: [&str; 3] = ["hour", "day", "week"];

/// How long each part of a series is
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = StatsGroup)]
pub(super) enum Group {
    Hour,
    Day,
    /// It begins on Monday
    Week,
}

impl Group {
    pub(super) fn of(word: &str) -> Option<Self> {
        match word {
            "hour" => Some(Self::Hour),
            "day" => Some(Self::Day),
            "week" => Some(Self::Week),
            _ => None,
        }
    }
}

/// What happened in a window, and what waits now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub(crate) struct Answer {
    /// The window as it was counted: whole hours, with `group_by` of `day` or `week` whole days, in UTC
    #[schema(value_type = schema::Time)]
    pub(super) since: Timestamp,
    #[schema(value_type = schema::Time)]
    pub(super) until: Timestamp,
    pub(super) group_by: Option<Group>,
    pub(super) total: Shown,
    /// Null where what waits could not be counted in time
    pub(super) lag: Option<Lag>,
    /// The parts of the window in order, with `group_by`
    pub(super) series: Vec<Part>,
    /// By provider: those for which something happened
    pub(super) providers: Vec<Provider>,
    /// By integration, a page of them by name
    pub(super) items: Vec<OfIntegration>,
    /// What to ask for the next page with; null on the last one
    pub(super) next_cursor: Option<String>,
    /// When what waits was counted
    #[schema(value_type = Option<schema::Time>)]
    pub(super) waiting_at: Option<Timestamp>,
    /// Whether a stream let go of records of this window before they were counted
    pub(super) has_gaps: bool,
}

/// A part of the window.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsPart)]
pub(super) struct Part {
    #[schema(value_type = schema::Time)]
    pub(super) since: Timestamp,
    #[schema(value_type = schema::Time)]
    pub(super) until: Timestamp,
    pub(super) figures: Shown,
}

/// A provider's part.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsOfProvider)]
pub(super) struct Provider {
    #[schema(value_type = schema::Name)]
    pub(super) provider: String,
    pub(super) figures: Shown,
    /// Null where what waits could not be counted in time
    pub(super) lag: Option<Lag>,
}

/// An integration's part.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsOfIntegration)]
pub(super) struct OfIntegration {
    pub(super) id: String,
    #[schema(value_type = schema::Name)]
    pub(super) name: Name,
    #[schema(value_type = schema::Name)]
    pub(super) provider: Name,
    pub(super) figures: Shown,
    /// Null where what waits could not be counted in time
    pub(super) lag: Option<Lag>,
}

/// What happened in a while.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsFigures)]
pub(super) struct Shown {
    deliveries: Deliveries,
    attempts: Attempts,
    rates: Rates,
    /// From acceptance to the answer that took it, in milliseconds; what a replay delivered is not in it
    latency_ms: Quantiles,
    /// Of each attempt, from the beginning of its request to the end of the answer, in milliseconds
    duration_ms: Quantiles,
}

/// Deliveries by how they stand now, each counted when it came to stand so.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsDeliveries)]
struct Deliveries {
    delivered: u64,
    dead: u64,
    expired: u64,
    discarded: u64,
    retrying: u64,
    parked: u64,
}

/// Requests by what the answer meant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsAttempts)]
struct Attempts {
    total: u64,
    delivered: u64,
    retry: u64,
    reject: u64,
    suspend: u64,
}

/// Rates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsRates)]
struct Rates {
    delivered_per_minute: f64,
    attempts_per_minute: f64,
    /// The share of what was delivered in all that was delivered, died or expired; null where nothing was
    success: Option<f64>,
}

/// Times that half, nine of ten and 99 of a hundred do not pass: exact below 25 ms, within 2 % above. Null where there is
/// none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsQuantiles)]
struct Quantiles {
    /// How many there were
    count: u64,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

/// What waits now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatsLag)]
pub(super) struct Lag {
    /// All of it
    waiting: u64,
    /// With or before a worker
    pending: u64,
    /// For the next attempt
    retrying: u64,
    /// Held, limited, gathered, or behind others of its key
    parked: u64,
    /// Seconds since the oldest of it was accepted or replayed; null where nothing waits
    oldest_age_s: Option<u64>,
}

/// What figures are seen against.
pub(super) struct Seen {
    pub(super) minutes: f64,
    pub(super) lags: Option<Vec<lag::Lag>>,
}

impl Seen {
    pub(super) fn figures(&self, figures: &Figures) -> Shown {
        let of = |count| figures.count(count);
        let lost = of(Count::Dead) + of(Count::Expired);
        let ended = of(Count::Delivered) + lost;
        Shown {
            deliveries: Deliveries {
                delivered: of(Count::Delivered),
                dead: of(Count::Dead),
                expired: of(Count::Expired),
                discarded: of(Count::Discarded),
                retrying: of(Count::Retrying),
                parked: of(Count::Parked),
            },
            attempts: Attempts {
                total: figures.attempts(),
                delivered: of(Count::AttemptDelivered),
                retry: of(Count::AttemptRetry),
                reject: of(Count::AttemptReject),
                suspend: of(Count::AttemptSuspend),
            },
            rates: Rates {
                delivered_per_minute: rounded(of(Count::Delivered) as f64 / self.minutes, 1_000.0),
                attempts_per_minute: rounded(figures.attempts() as f64 / self.minutes, 1_000.0),
                success: (ended > 0).then(|| rounded(of(Count::Delivered) as f64 / ended as f64, 10_000.0)),
            },
            latency_ms: quantiles(&figures.latency),
            duration_ms: quantiles(&figures.duration),
        }
    }

    /// What waits in all of those that are meant.
    pub(super) fn lag(&self, is_meant: impl Fn(&lag::Lag) -> bool) -> Option<Lag> {
        let mut sum = Lag::default();
        for lag in self.lags.as_ref()?.iter().filter(|lag| is_meant(lag)) {
            sum.pending += lag.pending;
            sum.retrying += lag.retrying;
            sum.parked += lag.parked;
            sum.oldest_age_s = sum.oldest_age_s.max(lag.oldest_age_s);
        }
        sum.waiting = sum.pending + sum.retrying + sum.parked;
        Some(sum)
    }
}

fn quantiles(histogram: &Histogram) -> Quantiles {
    let of = |share| histogram.quantile(share).map(|ms| rounded(ms, 10.0));
    Quantiles {
        count: histogram.total(),
        p50: of(0.5),
        p90: of(0.9),
        p99: of(0.99),
    }
}

/// To so many parts of one: more digits than are known say nothing.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
