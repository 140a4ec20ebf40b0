use super::*;

/// An act as far as it is, in a status.
pub(crate) fn act(status: ActStatus) -> Act {
    Act {
        id: "0199c0de-0000-7000-8000-0000000000ac".into(),
        kind: Kind::Discard,
        filter: DeadFilter::default(),
        events: None,
        waiting: None,
        per_second: 1,
        through: 100,
        cursor: 10,
        ahead: None,
        generation: 0,
        status,
        total: Some(90),
        done: 3,
        skipped: 0,
        failed: 0,
        asked_by: String::new(),
        message: String::new(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

#[test]
fn what_has_ended_cannot_be_cancelled_and_what_is_done_cannot_go_on() {
    let after = |change: fn(&Act) -> Result<Option<Act>, Problem>, status| {
        change(&act(status)).map(|changed| changed.map(|act| (act.status, act.cursor, act.done)))
    };
    let ok = |changed: Result<Option<_>, Problem>| changed.expect("it is allowed");
    let from = |status| Some((status, 10, 3));
    assert_eq!(ok(after(cancelled, ActStatus::Running)), from(ActStatus::Cancelled));
    for ended in [
        ActStatus::Done,
        ActStatus::Cancelled,
        ActStatus::Failed,
        ActStatus::Unknown,
    ] {
        assert_eq!(ok(after(cancelled, ended)), None, "{ended:?}");
    }
    for stopped in [ActStatus::Cancelled, ActStatus::Failed] {
        assert_eq!(ok(after(resumed, stopped)), from(ActStatus::Running), "{stopped:?}");
    }
    assert_eq!(ok(after(resumed, ActStatus::Running)), None);
    assert!(after(resumed, ActStatus::Done).is_err());
    assert!(after(resumed, ActStatus::Unknown).is_err());
}

#[test]
fn who_asks_is_one_short_line() {
    assert_eq!(by("admin key", None).ok().as_deref(), Some("admin key"));
    assert_eq!(
        by("admin key", Some("alice".into())).ok().as_deref(),
        Some("admin key, by alice")
    );
    assert!(by("admin key", Some("a\nb".into())).is_err());
    assert!(by("admin key", Some("x".repeat(BY_CHARS_MAX + 1))).is_err());
}
