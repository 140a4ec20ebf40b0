//! What it costs to build a request: each provider and each of its actions for one ordinary event, against `webhook`.
//!
//! `cargo bench -p signalbox-providers --bench requests`; what comes out and how to read it: `docs/benchmarks.md`.

use std::{cell::RefCell, fmt, fs, hint::black_box, time::Duration, time::Instant};

use criterion::{BenchmarkId, Criterion};
use serde::Deserialize;
use serde_json::{Value, json};
use signalbox_proto::{
    Delivery, Timestamp,
    totals::{Mark, Totals},
};
use signalbox_providers::{About, AnyTarget, Entry, Exchange, Request, Step, http, registry, things::memory};

/// The allocator of the program: what is built here is built in it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the others are measured against.
const YARDSTICK: &str = "webhook";
/// What a provider may cost, as a multiple of the yardstick.
const RATIO_MAX: f64 = 1.5;
/// The time of every attempt.
const NOW: Timestamp = Timestamp::from_secs(1_795_338_000);

/// How an ordinary owner sets a provider up, with its defaults where there are any: `ordinary.json` in its folder, one for
/// each action.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ordinary {
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    credentials: Value,
}

impl Ordinary {
    /// Those of a provider: none of its actions may be missing.
    fn of(entry: &Entry) -> Vec<Self> {
        let path = format!("{}/src/{}/ordinary.json", env!("CARGO_MANIFEST_DIR"), entry.name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let all: Vec<Self> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let given: Vec<Option<&str>> = all.iter().map(|one| one.action.as_deref()).collect();
        let wanted: Vec<Option<&str>> = match entry.actions {
            [] => vec![None],
            actions => actions.iter().copied().map(Some).collect(),
        };
        assert_eq!(given, wanted, "{path}: one for each action, in their order");
        all
    }
}

/// What a platform says when latency rises.
fn alert() -> Delivery {
    let delivery = json!({
        "id": "019a9c2e5f7b7c3e9d1a2b3c4d5e6f70", "org": "acme", "provider": "any", "revision": 1,
        "integration": "0197c0de-0000-7000-8000-000000000001", "since": "2026-11-22T09:00:00.250Z", "matched": 1,
        "events": [{
            "seq": 4_711, "at": "2026-11-22T09:00:00.250Z",
            "event": {
                "id": "019a9c2e-5f7b-7c3e-9d1a-2b3c4d5e6f71", "org": "acme", "type": "alert.created",
                "source": "/acme/shop", "subject": "checkout", "time": "2026-11-22T09:00:00Z", "agent_id": "agent-7",
                "severity": "high", "severity_named": true,
                "data": {
                    "title": "Latency of checkout is rising",
                    "message": "p99 of POST /checkout is above 800 ms for five minutes.",
                    "severity": "high",
                    "agent_name": "pricing",
                    "success_rate": 0.925,
                    "affected_agents": ["pricing", "payment"],
                    "latency_ms": 840,
                    "logs_url": "https://logs.example.com/q/1",
                    "region": "eu-west-1",
                    "threshold_ms": 500,
                },
            },
        }],
    });
    serde_json::from_str(&delivery.to_string()).expect("this is a delivery")
}

/// One row of what is measured: a provider, and its action where it has several.
struct Case {
    provider: &'static str,
    action: Option<String>,
    target: Box<dyn AnyTarget>,
}

impl Case {
    /// All providers, each with all that it does.
    fn all() -> Vec<Self> {
        let of = |entry: &'static Entry| {
            Ordinary::of(entry)
                .into_iter()
                .map(move |ordinary| Self::of(entry, ordinary))
        };
        registry().iter().flat_map(of).collect()
    }

    fn of(entry: &'static Entry, ordinary: Ordinary) -> Self {
        let about = About {
            integration: "0197c0de-0000-7000-8000-000000000001".to_owned(),
            name: "ordinary".parse().expect("a name"),
            org: "acme".parse().expect("a name"),
            brand: "Signalbox".into(),
            timeout: Duration::from_secs(15),
        };
        let target = entry.open(ordinary.config, ordinary.credentials, about);
        Self {
            provider: entry.name,
            action: ordinary.action,
            target: target.unwrap_or_else(|error| panic!("{error}")),
        }
    }

    /// From the delivery to all that is sent.
    fn request(&self, delivery: &Delivery, totals: &Totals) -> Request {
        if self.keeps(delivery) {
            // All that it asks the target for: the requests of a thing of which nothing is known yet.
            let (mut requests, outcome) = memory::rehearse(&*self.target, delivery, NOW);
            return requests
                .pop()
                .unwrap_or_else(|| panic!("{self} sends nothing: {outcome:?}"));
        }
        match self.target.next(delivery, &[], NOW) {
            Step::Send(Request::Count(count)) => {
                // What adds is the worker; the body is the provider's.
                let push = count.push.request(totals);
                black_box(count);
                Request::Http(push)
            }
            Step::Send(request) => request,
            Step::Done(outcome) => panic!("{self} sends nothing: {outcome:?}"),
        }
    }

    /// Whether its target keeps things.
    fn keeps(&self, delivery: &Delivery) -> bool {
        self.target.thing(delivery).is_some()
    }

    /// The totals of an integration that has counted this delivery.
    fn totals(&self, delivery: &Delivery) -> Totals {
        let mut totals = Totals::default();
        if !self.keeps(delivery)
            && let Step::Send(Request::Count(count)) = self.target.next(delivery, &[], NOW)
        {
            totals.count(Mark::of(delivery), &count.events, NOW);
        }
        totals
    }

    /// Holds it to one request: who sends several is to be measured with them all.
    fn sends_one(&self, delivery: &Delivery) {
        if self.keeps(delivery) {
            return;
        }
        let response = http::Response {
            status: 200,
            headers: Default::default(),
            body: r#"{"ok":true}"#.into(),
            truncated: false,
        };
        let next = self.target.next(delivery, &[Exchange { response }], NOW);
        assert!(
            matches!(next, Step::Done(_)),
            "{self} sends more than one request: measure them all"
        );
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Some(action) => write!(f, "{} {action}", self.provider),
            None => f.write_str(self.provider),
        }
    }
}

/// Nanoseconds of one request in each sample.
type Samples = Vec<f64>;

fn median(samples: &Samples) -> Option<f64> {
    let mut sorted = samples.clone();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Measures one row. Nothing is left of it where the arguments leave the row out.
fn measure(criterion: &mut Criterion, case: &Case, delivery: &Delivery) -> Option<f64> {
    case.sends_one(delivery);
    let totals = case.totals(delivery);
    let samples = RefCell::new(Samples::new());
    let mut group = criterion.benchmark_group("requests");
    group.bench_function(BenchmarkId::from_parameter(case), |bencher| {
        bencher.iter_custom(|iterations| {
            let begin = Instant::now();
            for _ in 0..iterations {
                // With the time to let go of it: whoever sends it pays that too.
                drop(black_box(case.request(black_box(delivery), &totals)));
            }
            let took = begin.elapsed();
            samples.borrow_mut().push(took.as_nanos() as f64 / iterations as f64);
            took
        });
    });
    group.finish();
    median(&samples.into_inner())
}

/// Prints what was measured, and what costs more than it may.
#[expect(clippy::print_stdout, reason = "the table is what a benchmark is run for")]
fn tell(rows: &[(&Case, f64)]) {
    let yardstick = rows.iter().find(|(case, _)| case.provider == YARDSTICK);
    println!(
        "\n{:<12} {:<8} {:>10} {:>12}",
        "provider", "action", "ns/request", YARDSTICK
    );
    let mut above = Vec::new();
    for (case, nanos) in rows {
        let ratio = yardstick.map(|(_, unit)| nanos / unit);
        let told = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2} ×"));
        println!(
            "{:<12} {:<8} {nanos:>10.0} {told:>12}",
            case.provider,
            case.action.as_deref().unwrap_or("-")
        );
        if ratio.is_some_and(|ratio| ratio > RATIO_MAX) {
            above.push(case.to_string());
        }
    }
    match (yardstick, above.as_slice()) {
        (None, _) => println!("\n{YARDSTICK} was left out: no ratios"),
        (Some(_), []) => println!("\nnone is above {RATIO_MAX} × {YARDSTICK}"),
        (Some(_), above) => println!("\nabove {RATIO_MAX} × {YARDSTICK}: {}", above.join(", ")),
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let delivery = alert();
    let cases = Case::all();
    let measured = cases
        .iter()
        .map(|case| (case, measure(&mut criterion, case, &delivery)));
    let rows: Vec<(&Case, f64)> = measured.filter_map(|(case, nanos)| Some((case, nanos?))).collect();
    criterion.final_summary();
    if !rows.is_empty() {
        tell(&rows);
    }
}
