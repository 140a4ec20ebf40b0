//! What matching costs with few and many integrations, and what an integration weighs:
//! `cargo bench -p signalbox-matching`.
//!
//! Prints nanoseconds for each event, each of which concerns one integration, and resident bytes for
//! each integration with one pattern. Fails where an integration takes more than [`BYTES_MAX`].

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use signalbox_matching::{Condition, EventView, Index};
use signalbox_proto::{
    Integration, RawJson, Severity, Timestamp,
    event::{Accepted, Event},
    integration::{Filter, Status, Subscription},
};

/// Most resident bytes for an integration with one pattern.
const BYTES_MAX: usize = 1_024;
const MANY: usize = 100_000;

/// How integrations spread over orgs and types.
#[derive(Clone, Copy, Debug)]
enum Spread {
    OneOrg,
    ManyOrgs,
    OrgEach,
}

impl Spread {
    fn org(self, number: usize) -> String {
        match self {
            Self::OneOrg => "acme".to_owned(),
            Self::ManyOrgs => format!("org-{}", number / 100),
            Self::OrgEach => format!("org-{number}"),
        }
    }

    fn event_type(self, number: usize) -> String {
        match self {
            Self::OneOrg => format!("service-{number}.execution.failed"),
            Self::ManyOrgs => format!("service-{}.execution.failed", number % 100),
            Self::OrgEach => "execution.failed".to_owned(),
        }
    }

    fn integration(self, number: usize, condition: Option<&str>) -> Integration {
        Integration {
            id: format!("0197f3a0-0000-7000-8000-{number:012}"),
            org: self.org(number).parse().expect("a valid org"),
            name: format!("integration-{number}").parse().expect("a valid name"),
            provider: "webhook".parse().expect("a valid provider"),
            revision: 1,
            status: Status::Active,
            subscription: Subscription {
                events: vec![self.event_type(number)],
                filter: Filter {
                    condition: condition.map(str::to_owned),
                    ..Filter::default()
                },
            },
            config: RawJson::default(),
            sealed: None,
            schedule_secs: None,
            expire_after_secs: None,
            timeout_secs: None,
            template: None,
            flow: signalbox_proto::integration::Flow::default(),
            created_at: Timestamp::from_secs(0),
            updated_at: Timestamp::from_secs(0),
        }
    }

    fn event(self, number: usize) -> Accepted {
        let data = serde_json::json!({
            "success_rate": 0.85, "error": "connection reset", "message": "x".repeat(350), "attempt": 3,
            "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}, {"sku": "c", "n": 3}], "spec": {"id": "S-1", "status": "draft"},
        });
        Accepted {
            event: Event {
                id: format!("event-{number}"),
                org: self.org(number).parse().expect("a valid org"),
                event_type: self.event_type(number).parse().expect("a valid type"),
                source: "/bench".into(),
                subject: None,
                time: None,
                agent_id: Some("agent-7".into()),
                execution_id: None,
                severity: Severity::High,
                severity_named: false,
                data: RawJson::of(&data).expect("a value can be written"),
                datacontenttype: None,
                data_base64: false,
                look: None,
                metadata: BTreeMap::new(),
            },
            seq: 1,
            at: Timestamp::from_secs(1_800_000_000),
        }
    }
}

/// Resident bytes of this process, where the system says them.
fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages
        .split(' ')
        .nth(1)?
        .parse::<usize>()
        .ok()
        .map(|pages| pages * 4_096)
}

/// Nanoseconds for one of what `run` does `each` times; the least of five rounds.
fn nanos(each: usize, mut run: impl FnMut()) -> u128 {
    (0..5)
        .map(|_| {
            let (begin, mut rounds) = (Instant::now(), 0);
            while begin.elapsed() < Duration::from_millis(200) {
                run();
                rounds += 1;
            }
            begin.elapsed().as_nanos() / (rounds * each as u128)
        })
        .min()
        .unwrap_or_default()
}

fn matching(spread: Spread, count: usize, condition: Option<&str>) -> Index {
    let before = resident();
    let begin = Instant::now();
    let mut index = Index::new();
    for number in 0..count {
        assert!(index.upsert(&spread.integration(number, condition)).is_empty());
    }
    let built = begin.elapsed();
    let bytes = before
        .zip(resident())
        .map(|(before, after)| after.saturating_sub(before) / count);

    // Spread over all, so that caches are as cold as they would be.
    let events: Vec<_> = (0..1_000).map(|number| spread.event(number * 7_919 % count)).collect();
    let mut out = Vec::new();
    let nanos = nanos(events.len(), || {
        for event in &events {
            out.clear();
            index.matches(black_box(event), &mut out);
            assert_eq!(out.len(), 1);
        }
    });
    let shown = bytes.filter(|_| count == MANY);
    println!(
        "{spread:?}, {count} integrations, where: {condition:?}: {nanos} ns an event, {} ns to insert, {} bytes each",
        built.as_nanos() / count as u128,
        shown.map_or("-".to_owned(), |bytes| bytes.to_string()),
    );
    if condition.is_none() {
        assert!(
            shown.is_none_or(|bytes| bytes <= BYTES_MAX),
            "an integration weighs too much"
        );
    }
    index
}

fn main() {
    // Kept, so that each measures memory of its own.
    let mut kept = Vec::new();
    for spread in [Spread::OneOrg, Spread::ManyOrgs, Spread::OrgEach] {
        kept.push(matching(spread, 100, None));
        kept.push(matching(spread, MANY, None));
    }
    let simple = "event.data.success_rate < 0.9";
    kept.push(matching(Spread::ManyOrgs, 100, Some(simple)));
    kept.push(matching(Spread::ManyOrgs, MANY, Some(simple)));

    let event = Spread::OneOrg.event(1);
    for source in [
        simple,
        "event.severity in ['high', 'critical'] && event.data.success_rate < 0.9",
        "event.data.items.exists(i, i.sku == 'c' && i.n > 2)",
        "event.data.error.matches('connection (reset|refused)')",
        "event.time.getHours('Europe/Berlin') < 25",
    ] {
        let compile = nanos(1, || {
            black_box(Condition::compile(black_box(source)).is_ok());
        });
        let condition = Condition::compile(source).expect("it compiles");
        let view = EventView::new(&event);
        let again = nanos(1, || assert_eq!(condition.holds(black_box(&view)), Ok(true)));
        let first = nanos(1, || {
            assert_eq!(condition.holds(&EventView::new(black_box(&event))), Ok(true))
        });
        println!("{source}: {compile} ns to compile, {first} ns on a new event, {again} ns on one that was read");
    }
}
