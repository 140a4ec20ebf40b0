//! `orgs`: one org that publishes as much as it is asked to beside a small one.
//!
//! The small one is measured alone and beside the large one, in turns; what the large one has published is waited for
//! after each turn.

use bytes::Bytes;
use serde_json::{Value, json};
use signalbox_proto::subjects;
use tokio::time::Instant;

use super::{
    super::{
        fleet::{CORE, WORKER},
        publisher::Pace,
        report::{median, per_second},
    },
    Promise, Size, Stage,
    findings::Findings,
    leg::latency,
    load::Load,
};

pub(super) const SIZES: &[(&str, u64, u64)] = &[("rate", 2_000, 20_000), ("seconds", 10, 20), ("rounds", 1, 5)];

const SMALL: u64 = 0;
const LARGE: u64 = 1;
const SMALL_RATE: u64 = 100;
/// Promised of the small one against alone.
const P99_RATIO: f64 = 2.0;
/// What docs/publishing.md promises to an org that stays within its quota, in milliseconds.
const QUOTA_P99_MS: f64 = 100.0;
/// The setting of the quota.
const QUOTA: &str = "SIGNALBOX_INGEST__ORG_PER_SECOND";
/// The setting of the storage, and how much: refusals fill half of a tenth of it at most, and all that the large org
/// is refused in five rounds has to fit.
const STORAGE: (&str, u64) = ("SIGNALBOX_NATS__STORAGE_BYTES", 30 << 30);

/// What a turn saw.
#[derive(Default)]
struct Turns {
    p50: Vec<f64>,
    p99: Vec<f64>,
    max: Vec<f64>,
    lost: u64,
    /// Of the large one: what it published a second, and how much of it arrived.
    published_per_s: Vec<f64>,
    published: u64,
    delivered: u64,
}

pub(super) async fn play(stage: &mut Stage, size: &Size) -> anyhow::Result<Findings> {
    let mut settings = vec![(STORAGE.0, STORAGE.1.to_string())];
    settings.extend(size.quota.map(|quota| (QUOTA, quota.to_string())));
    let fleet = stage.raise(&[CORE, WORKER], &settings).await?;
    let list = [
        stage.integration(SMALL, "bench.t", json!({ "org": "small" })),
        stage.integration(LARGE, "bench.t", json!({ "org": "large" })),
    ];
    stage.apply(fleet, &list).await?;
    let (mut small, mut large) = (stage.load(fleet).await?, stage.load(fleet).await?);
    let (mut alone, mut beside) = (Turns::default(), Turns::default());
    let mut refused_before = stage.messages(fleet, subjects::DEAD).await?;
    // The first pair opens connections, and is not counted.
    for round in 0..=size.of("rounds") {
        stage.say(format!("round {round} of {}", size.of("rounds")));
        let seconds = if round == 0 { 2 } else { size.of("seconds") };
        let one = turn(stage, size, fleet, seconds, &mut small, None).await?;
        let two = turn(stage, size, fleet, seconds, &mut small, Some(&mut large)).await?;
        if round > 0 {
            alone.add(one);
            beside.add(two);
        } else {
            refused_before = stage.messages(fleet, subjects::DEAD).await?;
        }
    }
    let doctor = stage.settled(fleet, Some(0)).await?;
    let refused = stage.messages(fleet, subjects::DEAD).await? - refused_before;
    Ok(judge(size, &alone, &beside, refused, &doctor))
}

async fn turn(
    stage: &mut Stage,
    size: &Size,
    fleet: usize,
    seconds: u64,
    small: &mut Load,
    large: Option<&mut Load>,
) -> anyhow::Result<Turns> {
    let data = Bytes::copy_from_slice(stage.data.as_bytes());
    let data = |_| data.clone();
    let pace = |rate: u64| Pace {
        events: rate * seconds,
        rate,
    };
    let of_small = stage.witness.begin(SMALL_RATE * seconds);
    let of_large = stage
        .witness
        .begin(large.as_ref().map_or(0, |_| size.of("rate") * seconds));
    let mut turns = Turns::default();
    let began = Instant::now();
    let publish = small.publish_as("small", of_small, pace(SMALL_RATE), |_| "bench.t".to_owned(), data);
    match large {
        None => publish.await?,
        Some(large) => {
            let rate = size.of("rate");
            let beside = async {
                let published = large.publish_as("large", of_large, pace(rate), |_| "bench.t".to_owned(), data);
                published.await.map(|()| began.elapsed())
            };
            let (done, took) = tokio::join!(publish, beside);
            done?;
            turns.published = pace(rate).events;
            turns.published_per_s.push(per_second(turns.published, took?));
        }
    }
    let expected = pace(SMALL_RATE).events;
    stage.complete(fleet, of_small, expected).await?;
    // With a quota nobody knows how many those are: what comes last comes soon.
    let owed = if size.quota.is_some() { 0 } else { turns.published };
    stage.complete(fleet, of_large, owed).await?;
    if size.quota.is_some() {
        settle(stage, of_large).await;
    }
    stage.witness.book(|book| {
        let seen = latency(book.of(of_small).filter(|arrival| arrival.first));
        turns.p50.push(seen.p50);
        turns.p99.push(seen.p99);
        turns.max.push(seen.max);
        turns.lost = expected - book.delivered(of_small).min(expected);
        turns.delivered = book.delivered(of_large);
    });
    Ok(turns)
}

/// Waits until nothing of a run has arrived for two seconds.
async fn settle(stage: &Stage, run: u32) {
    let mut before = None;
    loop {
        let now = stage.witness.book(|book| book.delivered(run));
        if before == Some(now) {
            return;
        }
        before = Some(now);
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
}

impl Turns {
    fn add(&mut self, other: Self) {
        self.p50.extend(other.p50);
        self.p99.extend(other.p99);
        self.max.extend(other.max);
        self.published_per_s.extend(other.published_per_s);
        self.lost += other.lost;
        self.published += other.published;
        self.delivered += other.delivered;
    }

    fn view(&self) -> Value {
        json!({
            "lost": self.lost,
            "latency_ms": {
                "p50": median(self.p50.clone()), "p99": median(self.p99.clone()), "max": median(self.max.clone()),
            },
            "p99_ms_by_round": self.p99,
        })
    }
}

fn judge(size: &Size, alone: &Turns, beside: &Turns, refused: u64, doctor: &Value) -> Findings {
    let ratios: Vec<f64> = beside.p99.iter().zip(&alone.p99).map(|(a, b)| a / b).collect();
    let ratio = median(ratios);
    let lost = alone.lost + beside.lost;
    let mut found = Findings::new(Promise::Orgs, size);
    found.figure("lost", lost);
    found.figure("small_alone", alone.view());
    found.figure("small_beside", beside.view());
    found.figure("p99_ratio", ratio);
    found.figure(
        "large",
        json!({
            "published": beside.published,
            "delivered": beside.delivered,
            "refused": refused,
            "published_per_s": median(beside.published_per_s.clone()),
        }),
    );
    found.ledger(doctor);
    found.always("no event of the small org is lost", lost, lost == 0);
    // What a quota refuses is kept as a dead letter.
    let vanished = beside.published.saturating_sub(beside.delivered + refused);
    found.always(
        "each event of the large org is delivered or refused",
        vanished,
        vanished == 0,
    );
    if size.quota.is_none() {
        found.always("none is refused without a quota", refused, refused == 0);
    }
    if size.quota.is_none() {
        found.aim(
            format!("p99 of the small org within {P99_RATIO} × of alone"),
            ratio,
            ratio <= P99_RATIO,
        );
    } else {
        let p99 = median(beside.p99.clone());
        found.aim(
            format!("p99 of the small org within {P99_RATIO} × of alone, or its quota's {QUOTA_P99_MS} ms"),
            p99,
            ratio <= P99_RATIO || p99 <= QUOTA_P99_MS,
        );
    }
    found
}
