//! One message of each kind with every field set, and some with as few as there can be.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_bytes::ByteBuf;
use signalbox_proto::{
    Accepted, Attempt, DeadLetter, DeadReason, Delivery, Event, Integration, Key, Lane, Name, Org, Phase, RawJson,
    Record, Scope, Severity, Stage, State, Timestamp,
    act::{Act, ActStatus, Ahead, DeadFilter, Did, EventFilter, Kind, Mark, Wait, WaitingFilter},
    dead::Input,
    delivery::{Note, Progress, StepDone, Suspends, Unfiled},
    digest::Manifest,
    idempotency,
    integration::{self, Filter, Flow, OrderOnDead, RateLimit, Sealed, Status, Subscription},
    key::{Principal, PrincipalKind},
    ledger::Final,
    org::OrgStatus,
    outcome::{Batch, EventRef, Next, OutcomeKind},
    state::{Cause, Probe},
    types::{Look, Registered, Tone},
    wire,
};

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

/// A time that needs all nine bytes.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(1_769_851_800_000_000_000 + seconds * 1_000_000_000)
}

const INTEGRATION: &str = "0199c0de-0000-7000-8000-000000000001";

pub(crate) fn event() -> Event {
    Event {
        id: "evt-1".to_owned(),
        org: name("acme"),
        event_type: "execution.failed".parse().expect("a type"),
        source: "/agents/7".to_owned(),
        subject: Some("run 42".to_owned()),
        time: Some(at(-3)),
        agent_id: Some("agent-7".to_owned()),
        execution_id: Some("exec-9".to_owned()),
        severity: Severity::High,
        severity_named: true,
        data: RawJson::from_checked(Bytes::from_static(br#"{"error": "disk full", "rate": 0.50}"#)),
        datacontenttype: Some("text/plain".to_owned()),
        data_base64: true,
        look: None,
        metadata: BTreeMap::from([
            ("region".to_owned(), "eu".to_owned()),
            ("team".to_owned(), "ops".to_owned()),
        ]),
    }
}

pub(crate) fn event_with_look() -> Event {
    Event {
        look: Some(Look {
            title: Some("Agent fell over".to_owned()),
            emoji: Some("🧨".to_owned()),
            tone: Some(Tone::Bad),
        }),
        ..event_minimal()
    }
}

pub(crate) fn registered() -> Registered {
    Registered {
        org: name("acme"),
        name: "deploy.done".parse().expect("a type"),
        title: Some("Deployed".to_owned()),
        emoji: Some("🚀".to_owned()),
        severity: Some(Severity::Medium),
        tone: Some(Tone::Good),
        schema: Some(RawJson::from_checked(Bytes::from_static(
            br#"{"type": "object", "required": ["version"]}"#,
        ))),
        created_at: at(0),
        updated_at: at(60),
        revision: 0,
    }
}

/// As a version writes it that counts revisions.
pub(crate) fn registered_counted() -> Registered {
    Registered {
        revision: 3,
        ..registered()
    }
}

pub(crate) fn key() -> Key {
    Key {
        id: "0199c0de-0000-7000-8000-0000000000cc".to_owned(),
        org: Some(name("acme")),
        name: "ci".to_owned(),
        scopes: vec![Scope::EventsWrite, Scope::read("workflows:write")],
        principal: Principal {
            kind: PrincipalKind::ExternalAgent,
            id: "agent-7".to_owned(),
        },
        expires_at: Some(at(3_600)),
        revoked_at: Some(at(60)),
        revision: 2,
    }
}

pub(crate) fn key_minimal() -> Key {
    Key {
        org: None,
        scopes: vec![Scope::Admin],
        expires_at: None,
        revoked_at: None,
        ..key()
    }
}

pub(crate) fn org() -> Org {
    Org {
        name: name("acme"),
        status: OrgStatus::Erasing,
        revision: 4,
    }
}

pub(crate) fn registered_minimal() -> Registered {
    Registered {
        title: None,
        emoji: None,
        severity: None,
        tone: None,
        schema: None,
        ..registered()
    }
}

pub(crate) fn idempotency() -> idempotency::Record {
    idempotency::Record {
        request: "izAur5sCQgnhgY9pXlCSdQ".to_owned(),
        seed: "0199c0de-0000-7000-8000-0000000000ed".to_owned(),
        hold_ms: 12_000,
        tries: vec![idempotency::Try {
            from: at(0),
            until: at(14),
        }],
        ids: None,
    }
}

pub(crate) fn idempotency_done() -> idempotency::Record {
    idempotency().done(vec!["evt-1".to_owned(), "evt-2".to_owned()])
}

pub(crate) fn event_minimal() -> Event {
    Event {
        id: "1".to_owned(),
        org: Name::default_org(),
        event_type: "a".parse().expect("a type"),
        source: "/default".to_owned(),
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
    }
}

pub(crate) fn delivery() -> Delivery {
    let second = Accepted {
        event: event_minimal(),
        seq: 1_235,
        at: at(1),
    };
    Delivery {
        id: "ZF9NnSs-WajElo8lJ-FvjA".to_owned(),
        org: name("acme"),
        provider: name("webhook"),
        integration: INTEGRATION.to_owned(),
        revision: 12,
        generation: 1,
        hop: 5,
        attempt: 3,
        retries: 2,
        lane: Lane::Bulk,
        events: vec![
            Accepted {
                event: event(),
                seq: 1_234,
                at: at(0),
            },
            second,
        ],
        matched: 2,
        digest: false,
        matched_each: Vec::new(),
        order_key: None,
        held: false,
        letter: None,
        paid: None,
        since: at(10),
        due: Some(at(130)),
        notes: vec![note()],
        suspends: Some(Suspends {
            count: 2,
            since: at(20),
        }),
        probe: true,
        filed: Some(Unfiled {
            record: ByteBuf::from(wire::encode(&Record::Attempt(attempt())).expect("bytes")),
            dead: Some((DeadReason::Rejected, "HTTP 400".to_owned())),
        }),
        progress: Some(Progress {
            revision: 4,
            steps: vec![StepDone {
                status: 201,
                body: b"{}".to_vec(),
            }],
            counted: true,
        }),
        replay: Some("0199c0de-0000-7000-8000-0000000000ac".to_owned()),
        replay_of: Some(77),
    }
}

fn note() -> Note {
    Note {
        at: at(11),
        outcome: OutcomeKind::Retry,
        response_code: Some(503),
        error_message: Some("HTTP 503".to_owned()),
    }
}

pub(crate) fn delivery_minimal() -> Delivery {
    Delivery::first(
        Accepted {
            event: event_minimal(),
            seq: 1,
            at: at(0),
        },
        INTEGRATION,
        &name("webhook"),
        1,
        1,
    )
}

pub(crate) fn attempt() -> Attempt {
    Attempt {
        delivery: "ZF9NnSs-WajElo8lJ-FvjA".to_owned(),
        generation: 1,
        attempt: 3,
        org: name("acme"),
        provider: name("webhook"),
        integration: INTEGRATION.to_owned(),
        events: vec![EventRef {
            id: "evt-1".to_owned(),
            source: "/agents/7".to_owned(),
            event_type: "execution.failed".parse().expect("a type"),
            seq: 1_234,
            accepted_at: at(1),
            matched: 2,
        }],
        at: at(11),
        duration_ms: 48,
        outcome: Some(OutcomeKind::Retry),
        response_code: Some(503),
        response_body: "busy".to_owned(),
        error_message: Some("HTTP 503".to_owned()),
        next: Next::Retrying,
        next_at: Some(at(130)),
    }
}

/// The last attempt.
pub(crate) fn ended() -> Attempt {
    Attempt {
        next: Next::Final(Final::Delivered),
        next_at: None,
        outcome: Some(OutcomeKind::Delivered),
        ..attempt()
    }
}

pub(crate) fn batch() -> Batch {
    let records = [
        Record::Attempt(attempt()),
        Record::Attempt(ended()),
        Record::NoRoute(vec![(1, 1), (5, 900)]),
    ];
    Batch {
        records: records
            .iter()
            .map(|record| ByteBuf::from(wire::encode(record).expect("bytes")))
            .collect(),
    }
}

pub(crate) fn dead_letter() -> DeadLetter {
    DeadLetter {
        stage: Stage::Delivery,
        reason: DeadReason::Exhausted,
        message: "HTTP 503".to_owned(),
        fingerprint: "izAur5sCQgnhgY9pXlCSdQ".to_owned(),
        org: Some(name("acme")),
        delivery: Some(Box::new(delivery_minimal())),
        input: None,
        event_seq: None,
        first_at: at(11),
        last_at: at(99),
    }
}

pub(crate) fn dead_input() -> DeadLetter {
    DeadLetter {
        stage: Stage::Ingest,
        reason: DeadReason::Invalid,
        org: None,
        delivery: None,
        input: Some(Input {
            subject: "signalbox.in.Acme.a".to_owned(),
            headers: vec![("ce-id".to_owned(), "1".to_owned())],
            body: vec![0xff, 0x00, b'{'],
        }),
        ..dead_letter()
    }
}

pub(crate) fn integration() -> Integration {
    Integration {
        id: INTEGRATION.to_owned(),
        org: name("acme"),
        name: name("oncall"),
        provider: name("webhook"),
        revision: 12,
        status: Status::PendingSetup,
        subscription: Subscription {
            events: vec!["execution.failed".to_owned(), "canary.>".to_owned()],
            filter: Filter {
                agent_ids: vec!["agent-7".to_owned()],
                min_severity: Some(Severity::Critical),
                condition: Some("event.data.rate < 0.9".to_owned()),
            },
        },
        config: RawJson::from_checked(Bytes::from_static(br#"{"url":"https://example.com/"}"#)),
        sealed: Some(Sealed {
            key_id: "k1".to_owned(),
            bytes: vec![1, 2, 255],
        }),
        schedule_secs: Some(vec![5, 30]),
        expire_after_secs: Some(3_600),
        timeout_secs: Some(30),
        template: None,
        flow: Flow::default(),
        created_at: at(0),
        updated_at: at(60),
    }
}

pub(crate) fn state() -> State {
    State {
        phase: Phase::Suspended,
        gate: 55,
        since: at(0),
        reason: "HTTP 410".to_owned(),
        probe: Some(Probe {
            delivery: "ZF9NnSs-WajElo8lJ-FvjA".to_owned(),
            due: at(60),
            wait_secs: 60,
            failed: 0,
        }),
        drain_per_second: Some(10),
        drop_before: Some(at(-3_600)),
        ..State::default()
    }
}

/// With all that came with flow control.
pub(crate) fn delivery_of_a_digest() -> Delivery {
    Delivery {
        digest: true,
        matched_each: vec![2, 1],
        order_key: Some("ZF9NnSs-WajElo8lJ-FvjA".to_owned()),
        paid: Some(at(11)),
        ..delivery()
    }
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        id: "dGhpc2lzYWRpZ2VzdGlkMA".to_owned(),
        org: name("acme"),
        integration: "0199c0de-0000-7000-8000-0000000000aa".to_owned(),
        first: 17,
        last: 400,
        count: 100,
        sent: true,
        way: None,
    }
}

pub(crate) fn integration_with_flow() -> Integration {
    Integration {
        flow: Flow {
            rate_limit: Some(RateLimit {
                per_minute: Some(60),
                per_hour: None,
                per_day: Some(5_000),
            }),
            batch: Some(integration::Batch {
                window_secs: 60,
                events_max: 100,
            }),
            order_by: Some("event.agent_id".to_owned()),
            order_on_dead: OrderOnDead::Hold,
            connect_timeout_secs: Some(3),
            health_check_secs: None,
        },
        ..integration()
    }
}

pub(crate) fn state_of_a_limited_one() -> State {
    State {
        phase: Phase::Draining,
        not_before: Some(at(90)),
        cause: Cause::Limit,
        backoff_secs: 120,
        recovered_at: Some(at(30)),
        ..state()
    }
}

pub(crate) fn mark() -> Mark {
    Mark {
        act: "0199c0de-0000-7000-8000-0000000000ac".to_owned(),
        did: Did::Intend,
        seqs: vec![1, 300, 70_000],
        to: Some(INTEGRATION.to_owned()),
        generation: 60_000_000,
        at: at(5),
    }
}

pub(crate) fn act() -> Act {
    Act {
        id: "0199c0de-0000-7000-8000-0000000000ac".to_owned(),
        kind: Kind::Replay {
            to: Some(INTEGRATION.to_owned()),
        },
        filter: DeadFilter {
            org: Some("acme".to_owned()),
            ids: vec!["77".to_owned()],
            integration: Some(INTEGRATION.to_owned()),
            provider: Some("webhook".to_owned()),
            stage: Some(Stage::Delivery),
            reason: Some(DeadReason::Expired),
            fingerprint: Some("izAur5sCQgnhgY9pXlCSdQ".to_owned()),
            event_type: Some("execution.failed".to_owned()),
            since: Some(at(-60)),
            until: Some(at(60)),
        },
        events: None,
        waiting: None,
        per_second: 50,
        through: 900,
        cursor: 77,
        ahead: Some(Ahead { through: 90, at: at(1) }),
        generation: 60_000_000,
        status: ActStatus::Running,
        total: Some(5),
        done: 3,
        skipped: 1,
        failed: 1,
        asked_by: "admin".to_owned(),
        message: "the integration is gone".to_owned(),
        created_at: at(0),
        updated_at: at(2),
    }
}

pub(crate) fn replay_events() -> Act {
    Act {
        kind: Kind::ReplayEvents {
            to: INTEGRATION.to_owned(),
        },
        filter: DeadFilter::default(),
        events: Some(EventFilter {
            org: name("acme"),
            since: at(-7_200),
            until: Some(at(-60)),
            event_type: Some("execution.*".to_owned()),
            ignore_subscription: true,
        }),
        ..act()
    }
}

pub(crate) fn discard_waiting() -> Act {
    Act {
        kind: Kind::DiscardWaiting,
        filter: DeadFilter::default(),
        waiting: Some(WaitingFilter {
            org: name("acme"),
            ids: vec!["izAur5sCQgnhgY9pXlCSdQ".to_owned()],
            integration: Some(INTEGRATION.to_owned()),
            provider: Some(name("webhook")),
            event_type: Some("execution.failed".to_owned()),
            status: Some(Wait::Parked),
            since: Some(at(-7_200)),
            until: at(-60),
        }),
        ..act()
    }
}

pub(crate) fn discard() -> Act {
    Act {
        kind: Kind::Discard,
        filter: DeadFilter::default(),
        ahead: None,
        generation: 0,
        total: None,
        asked_by: String::new(),
        status: ActStatus::Done,
        message: String::new(),
        ..act()
    }
}
