use signalbox_broker::PublishError;
use signalbox_proto::{
    Accepted, RawJson, Severity,
    delivery::StepDone,
    integration::{Status, Subscription},
};

use super::{super::send::refused, *};

fn integration(id: &str) -> Integration {
    Integration {
        id: id.into(),
        org: "acme".parse().expect("a name"),
        name: "n".parse().expect("a name"),
        provider: "webhook".parse().expect("a name"),
        revision: 7,
        status: Status::Active,
        subscription: Subscription::default(),
        config: RawJson::default(),
        sealed: None,
        schedule_secs: None,
        expire_after_secs: None,
        timeout_secs: None,
        template: None,
        flow: signalbox_proto::integration::Flow::default(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

fn dead(generation: u32) -> Delivery {
    let event = signalbox_proto::Event {
        id: "e".into(),
        org: "acme".parse().expect("a name"),
        event_type: "a.b".parse().expect("a type"),
        source: "/s".into(),
        subject: None,
        time: None,
        agent_id: None,
        execution_id: None,
        severity: Severity::Low,
        severity_named: false,
        data: RawJson::default(),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    };
    let accepted = Accepted {
        event,
        seq: 5,
        at: Timestamp::from_secs(1),
    };
    Delivery {
        generation,
        hop: 9,
        attempt: 4,
        retries: 3,
        lane: Lane::Retry,
        ..Delivery::first(accepted, "old", &"webhook".parse().expect("a name"), 1, 3)
    }
}

#[test]
fn a_replay_is_the_same_delivery_from_its_beginning_in_a_higher_generation() {
    let now = Timestamp::from_secs(100);
    for (had, act, expected) in [
        (0, 0, 1),
        (3, 0, 4),
        (3, 60_000_000, 60_000_000),
        (60_000_000, 60_000_000, 60_000_001),
    ] {
        let dead = dead(had);
        let next = again(&dead, &integration("old"), ("act", act), 12, now);
        assert_eq!(next.id, dead.id);
        assert_eq!(next.generation, expected, "had {had}, act {act}");
        assert_eq!((next.hop, next.attempt, next.retries, next.lane), (0, 0, 0, Lane::Bulk));
        assert_eq!((next.since, next.replay_of, next.matched), (now, Some(12), 3));
        assert_eq!(next.revision, 7);
        let other = again(&dead, &integration("new"), ("act", act), 12, now);
        assert_eq!(other.id, dead.id_at("new"));
        assert_ne!(other.id, dead.id);
        assert_eq!(other.replay.as_deref(), Some("act"));
    }
}

#[test]
fn a_replay_asks_for_everything_anew_and_counts_nothing_twice() {
    let step = StepDone {
        status: 413,
        body: b"too large".to_vec(),
    };
    let mut dead = dead(0);
    for (counted, expected) in [(false, None), (true, Some(true))] {
        dead.progress = Some(Progress {
            revision: 7,
            steps: vec![step.clone()],
            counted,
        });
        let now = Timestamp::from_secs(100);
        let next = again(&dead, &integration("old"), ("act", 0), 12, now).progress;
        assert_eq!(next.as_ref().map(|progress| progress.counted), expected);
        assert!(next.is_none_or(|progress| progress.steps.is_empty()));
        let other = again(&dead, &integration("new"), ("act", 0), 12, now);
        assert_eq!(other.progress, None);
    }
}

#[test]
fn what_fails_for_good_is_told_and_what_may_pass_is_not() {
    let failed = |source| {
        Err::<(), _>(Error::Publish {
            subject: "x".into(),
            source,
        })
    };
    let large = PublishError::Refused {
        code: 10_054,
        description: "message size exceeds maximum".into(),
    };
    let reason = refused(failed(large))
        .expect("it is the letter's fault")
        .expect_err("it failed");
    assert!(reason.contains("message size exceeds maximum"), "{reason}");
    assert!(refused(failed(PublishError::TimedOut)).is_err());
}

#[test]
fn a_stream_that_is_nearly_full_has_no_room() {
    let state = StreamState {
        messages: 1,
        bytes: 950,
        first_seq: 1,
        last_seq: 1,
        bytes_max: Some(1_000),
        created: Timestamp::default(),
    };
    assert!(!has_room(&state));
    assert!(has_room(&StreamState { bytes: 949, ..state }));
    assert!(has_room(&StreamState {
        bytes_max: None,
        ..state
    }));
}
