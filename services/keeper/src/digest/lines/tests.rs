use signalbox_broker::kv::Entry;
use signalbox_proto::digest::Manifest;

use super::*;

fn name(text: &str) -> Option<Name> {
    Some(text.parse().expect("a name"))
}

fn work(integration: &str) -> Work {
    Work::Resume(Entry {
        value: Manifest {
            id: "D".to_owned(),
            org: "acme".parse().expect("a name"),
            integration: integration.to_owned(),
            first: 1,
            last: 1,
            count: 1,
            sent: false,
            way: None,
        },
        revision: 1,
    })
}

/// Starts all that may, and says whose they are.
fn start(lines: &mut Lines, now: Instant) -> Vec<String> {
    let started = std::iter::from_fn(|| lines.next(now));
    started.map(|(_, work)| work.integration().to_owned()).collect()
}

#[tokio::test]
async fn of_an_integration_one_digest_is_closed_at_a_time() {
    let now = Instant::now();
    let mut lines = Lines::new();
    lines.push(name("slack"), work("a"));
    lines.push(name("slack"), work("a"));
    assert_eq!(start(&mut lines, now), ["a"]);
    lines.push(name("slack"), work("a"));
    assert!(start(&mut lines, now).is_empty());
    lines.ended(&name("slack"), "a", Ended::Badly, now);
    lines.push(name("slack"), work("a"));
    assert_eq!(start(&mut lines, now), ["a"]);
}

#[tokio::test]
async fn a_provider_whose_stream_is_silent_is_tried_with_one_digest_while_the_others_go_on() {
    let now = Instant::now();
    let mut lines = Lines::new();
    for index in 0..100 {
        lines.push(name("slack"), work(&format!("s{index}")));
    }
    let first = start(&mut lines, now);
    assert_eq!(first.len(), AT_ONCE, "so many at a time");
    for integration in &first {
        lines.ended(&name("slack"), integration, Ended::Unanswered, now);
    }
    lines.push(name("webhook"), work("w"));
    assert_eq!(start(&mut lines, now), ["w"], "the silent one rests");
    assert_eq!(lines.wakes(), Some(now + REST));
    let later = now + REST;
    assert_eq!(start(&mut lines, later), ["s32"], "one finds out");
    assert_eq!(lines.wakes(), None, "nothing is waited for but its end");
    lines.ended(&name("slack"), "s32", Ended::Unanswered, later);
    assert!(start(&mut lines, later).is_empty());
    let again = later + REST;
    assert_eq!(start(&mut lines, again), ["s33"]);
    lines.ended(&name("slack"), "s33", Ended::Well, again);
    assert_eq!(start(&mut lines, again).len(), AT_ONCE, "it answers: all go on");
}
