use serde_json::json;
use signalbox_proto::{
    Attempt, DeadLetter, Event, RawJson, Severity,
    delivery::Note,
    integration::{Filter, Subscription},
    outcome::EventRef,
    state::Probe,
};

use super::*;
use crate::story::{Stories, Wanted};

const NOW: i64 = 1_000_000;

fn integration() -> Integration {
    Integration {
        id: "i-1".to_owned(),
        org: "acme".parse().expect("a name"),
        name: "oncall".parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        revision: 1,
        status: Status::Active,
        subscription: Subscription {
            events: vec!["a.>".to_owned()],
            filter: Filter::default(),
        },
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: Some(3_600),
        timeout_secs: None,
        template: None,
        flow: signalbox_proto::integration::Flow::default(),
        created_at: Timestamp::from_secs(0),
        updated_at: Timestamp::from_secs(0),
    }
}

fn accepted() -> Accepted {
    Accepted {
        event: Event {
            id: "e".to_owned(),
            org: "acme".parse().expect("a name"),
            event_type: "a.b".parse().expect("a type"),
            source: "/s".to_owned(),
            subject: None,
            time: None,
            agent_id: Some("agent-9".to_owned()),
            execution_id: None,
            severity: Severity::Low,
            severity_named: false,
            data: RawJson::of(&json!({ "rate": 0.95, "name": "x", "deep": { "n": 1 } })).expect("JSON"),
            datacontenttype: None,
            data_base64: false,
            look: None,
            metadata: std::collections::BTreeMap::new(),
        },
        seq: 1,
        at: Timestamp::from_secs(NOW - 60),
    }
}

fn owed() -> Delivery {
    Delivery::first(accepted(), "i-1", &"webhook".parse().expect("a name"), 1, 1)
}

fn note(outcome: OutcomeKind, message: &str) -> Note {
    Note {
        at: Timestamp::from_secs(NOW - 30),
        outcome,
        response_code: Some(503),
        error_message: Some(message.to_owned()),
    }
}

/// What is said of a story that these places tell.
fn said(tell: impl FnOnce(&mut Stories<'_>), state: &State) -> Why {
    let org = "acme".parse().expect("a name");
    let mut stories = Stories::new(Wanted::Of {
        org: &org,
        integration: None,
        provider: None,
    });
    tell(&mut stories);
    let story = stories.deliveries().next().expect("a story");
    delivery(story, state, Some(&integration()), Timestamp::from_secs(NOW))
}

fn state(phase: Phase) -> State {
    State {
        phase,
        since: Timestamp::from_secs(NOW - 10),
        ..State::default()
    }
}

#[test]
fn what_waits_says_for_what_and_until_when() {
    let expires = "expires at 1970-01-12T14:45:40Z";
    let retrying = || {
        let mut delivery = owed();
        delivery.attempt = 3;
        delivery.retries = 3;
        delivery.note(note(OutcomeKind::Retry, "the target answered 503"));
        delivery
    };
    let mut due = retrying();
    due.due = Some(Timestamp::from_secs(NOW + 5));
    let mut over = retrying();
    over.due = Some(Timestamp::from_secs(NOW - 5));
    let mut refused = owed();
    refused.note(note(OutcomeKind::Suspend, "401"));
    refused.due = Some(Timestamp::from_secs(NOW + 5));
    let mut probe = refused.clone();
    probe.probe = true;
    for (waiting, why, next) in [
        (
            owed(),
            "it has not been sent yet",
            "it goes when a worker of webhook takes it",
        ),
        (
            due,
            "the target answered 503",
            "next attempt at 1970-01-12T13:46:45Z, step 3 of 8",
        ),
        (
            over,
            "the target answered 503",
            "due since 1970-01-12T13:46:35Z, step 3 of 8: it goes when",
        ),
        (
            refused,
            "the target refuses (401); three such answers",
            "next attempt at 1970-01-12T13:46:45Z;",
        ),
        (
            probe,
            "the target refuses (401)",
            "it probes whether the target takes again, at 1970-01-12T13:46:45Z",
        ),
    ] {
        let words = said(|stories| stories.wait(waiting, Place::Schedule), &state(Phase::Open));
        assert!(words.why.starts_with(why), "{words:?}");
        assert!(
            words.next.starts_with(next) && words.next.ends_with(expires),
            "{words:?}"
        );
    }
}

#[test]
fn what_is_parked_says_who_has_to_act() {
    let mut suspended = state(Phase::Suspended);
    suspended.reason = "the target answered 401".to_owned();
    suspended.probe = Some(Probe {
        delivery: "d".to_owned(),
        due: Timestamp::from_secs(NOW + 60),
        wait_secs: 60,
        failed: 0,
    });
    let mut draining = state(Phase::Draining);
    draining.drain_per_second = Some(7);
    let resume = "resume with `signalbox resume --integration oncall --org acme`";
    for (state, why, next) in [
        (
            state(Phase::Paused),
            "the integration is paused since 1970",
            format!("waiting for a person: {resume}; expires"),
        ),
        (
            suspended,
            "the target refuses since 1970-01-12T13:46:30Z: the target answered 401",
            format!("probed again at 1970-01-12T13:47:40Z; once it is mended, {resume}; expires"),
        ),
        (
            draining,
            "it waits in line",
            "the oldest go first, 7 a second; expires".to_owned(),
        ),
        (
            state(Phase::Open),
            "it was held when it came",
            "a keeper takes it out".to_owned(),
        ),
    ] {
        let words = said(|stories| stories.wait(owed(), Place::Parked), &state);
        assert!(words.why.starts_with(why) && words.next.starts_with(&next), "{words:?}");
    }
}

#[test]
fn what_ended_says_how_and_how_to_have_it_again() {
    let dead = |reason: DeadReason, message: &str| {
        let mut delivery = owed();
        delivery.attempt = 9;
        DeadLetter::of_delivery(Stage::Delivery, reason, message, delivery, Timestamp::from_secs(NOW))
    };
    let replay = "dead letter dl_17: replay with `signalbox dead replay dl_17 --org acme`";
    for (letter, why, next) in [
        (
            dead(DeadReason::Exhausted, "503"),
            "the retry schedule is used up after 9 attempts: 503",
            replay,
        ),
        (
            dead(DeadReason::Rejected, "422"),
            "the target will never take it: 422",
            replay,
        ),
        (
            dead(DeadReason::Poison, "p"),
            "it stopped its worker more than once: p",
            replay,
        ),
        (
            dead(DeadReason::Expired, "late"),
            "it waited longer than expire_after (1h)",
            replay,
        ),
        (
            dead(DeadReason::Discarded, "the integration was deleted"),
            "the integration was deleted",
            "nothing more",
        ),
    ] {
        let words = said(|stories| stories.bury(17, letter), &State::default());
        assert_eq!((words.why.as_str(), words.next.as_str()), (why, next));
    }
    let attempt = Attempt {
        delivery: owed().id,
        generation: 0,
        attempt: 2,
        org: "acme".parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        integration: "i-1".to_owned(),
        events: vec![EventRef {
            id: "e".to_owned(),
            source: "/s".to_owned(),
            event_type: "a.b".parse().expect("a type"),
            seq: 1,
            accepted_at: Timestamp::default(),
            matched: 1,
        }],
        at: Timestamp::from_secs(NOW),
        duration_ms: 5,
        outcome: Some(OutcomeKind::Delivered),
        response_code: Some(204),
        response_body: String::new(),
        error_message: None,
        next: Next::Final(Final::Delivered),
        next_at: None,
    };
    let words = said(|stories| stories.record(attempt), &State::default());
    assert_eq!(
        (words.why.as_str(), words.next.as_str()),
        ("the target answered 204, at attempt 2", "nothing more")
    );
}

#[test]
fn what_was_not_matched_says_which_condition_with_its_values() {
    let condition = |text: &str, how| Verdict::Condition {
        text: text.to_owned(),
        how,
    };
    for (verdict, reason, why) in [
        (
            Verdict::Inactive(Status::PendingSetup),
            "pending_setup",
            "it is pending_setup: never tested or activated",
        ),
        (
            Verdict::Inactive(Status::Inactive),
            "inactive",
            "it is inactive (enabled: false)",
        ),
        (
            Verdict::Type {
                patterns: vec!["b".to_owned(), "c.>".to_owned()],
            },
            "type",
            "no pattern covers a.b: it has b, c.>",
        ),
        (
            Verdict::Type { patterns: Vec::new() },
            "type",
            "no pattern covers a.b: it has none",
        ),
        (
            Verdict::Agent {
                wanted: vec!["agent-7".to_owned()],
                is: "agent-9".to_owned(),
            },
            "agent_ids",
            "agent_ids: [agent-7], the event's is agent-9",
        ),
        (
            Verdict::Severity {
                least: Severity::High,
                is: Severity::Low,
            },
            "min_severity",
            "min_severity: high, the event is low",
        ),
        (
            condition("event.data.rate < 0.9 && event.data.name == 'y'", How::False),
            "where",
            "where: event.data.rate < 0.9 && event.data.name == 'y' is false (event.data.rate is 0.95, event.data.name is \"x\")",
        ),
        (
            condition("event.data.deep.m > 1", How::Absent(Some("m".to_owned()))),
            "where",
            "where: event.data.deep.m > 1 reads m, which the event does not have",
        ),
    ] {
        let unmatched = unmatched(&integration(), &accepted(), &verdict);
        assert_eq!((unmatched.reason, unmatched.words.why.as_str()), (reason, why));
    }
}

#[test]
fn an_integration_of_today_may_not_be_that_of_then() {
    let mut later = integration();
    later.updated_at = Timestamp::from_secs(NOW);
    let changed = unmatched(&later, &accepted(), &Verdict::Match);
    assert_eq!(changed.reason, "changed_later");
    let severity = Verdict::Severity {
        least: Severity::High,
        is: Severity::Low,
    };
    let words = unmatched(&later, &accepted(), &severity).words;
    assert!(
        words.why.ends_with("when the event came it may have been another way)"),
        "{words:?}"
    );
    later.created_at = Timestamp::from_secs(NOW);
    let made = unmatched(&later, &accepted(), &Verdict::Match);
    assert_eq!(made.reason, "created_later");
    assert_eq!(
        made.words.next,
        "to send it there: `signalbox replay --since 1970-01-12T13:45:40Z --until 1970-01-12T13:45:41Z --type a.b \
         --to oncall --org acme`"
    );
}

#[test]
fn an_integration_that_was_made_later_was_not_another_one_then() {
    let mut later = integration();
    (later.created_at, later.updated_at) = (Timestamp::from_secs(NOW), Timestamp::from_secs(NOW));
    let none = Verdict::Type { patterns: Vec::new() };
    let words = unmatched(&later, &accepted(), &none).words;
    assert!(
        words
            .why
            .ends_with("(it was made at 1970-01-12T13:46:40Z, after the event)"),
        "{words:?}"
    );
}

#[test]
fn what_could_not_be_read_is_not_told_as_what_is_not_there() {
    let shown = crate::view::accepted_value(&accepted());
    let matches = |gaps| unmatched_of(&integration(), &accepted(), &Verdict::Match, &shown, gaps);
    let silent = matches(Some("DELIVER_SLACK did not answer"));
    assert_eq!(silent.reason, "unknown");
    assert_eq!(
        silent.words.why,
        "it matches, and whether it has a delivery is not known: DELIVER_SLACK did not answer"
    );
    assert!(matches(None).words.why.contains("it is on its way"));
}

#[test]
fn what_was_changed_or_deleted_since_is_not_taken_for_what_was() {
    let org: Name = "acme".parse().expect("a name");
    let told = |reason: DeadReason, integration: &Integration| {
        let mut stories = Stories::new(Wanted::Of {
            org: &org,
            integration: None,
            provider: None,
        });
        let letter = DeadLetter::of_delivery(Stage::Delivery, reason, "m", owed(), Timestamp::from_secs(NOW));
        stories.bury(17, letter);
        let story = stories.deliveries().next().expect("a story");
        delivery(story, &State::default(), Some(integration), Timestamp::from_secs(NOW))
    };
    let mut changed = integration();
    changed.updated_at = Timestamp::from_secs(NOW + 1);
    changed.expire_after_secs = Some(60);
    assert_eq!(
        told(DeadReason::Expired, &changed).why,
        "it waited longer than expire_after",
        "an hour then, a minute now"
    );
    let mut deleted = integration();
    deleted.status = Status::Deleted;
    let next = told(DeadReason::Rejected, &deleted).next;
    assert!(
        next.contains("was deleted") && next.contains("dead replay dl_17 --to INTEGRATION --org acme"),
        "{next}"
    );
    let mut stories = Stories::new(Wanted::Of {
        org: &org,
        integration: None,
        provider: None,
    });
    stories.wait(owed(), Place::Parked);
    let story = stories.deliveries().next().expect("a story");
    let words = delivery(story, &state(Phase::Paused), Some(&deleted), Timestamp::from_secs(NOW));
    assert_eq!(words.why, "its integration was deleted");
    assert!(words.next.contains("given up"), "{words:?}");
}
