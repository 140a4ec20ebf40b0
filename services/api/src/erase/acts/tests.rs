use signalbox_proto::act::{DeadFilter, EventFilter, WaitingFilter};

use super::*;
use crate::acts::tests::act;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

#[test]
fn of_an_org_that_goes_every_act_at_work_is_cancelled_and_no_other() {
    let of_letters = |status| Act {
        filter: DeadFilter {
            org: Some("acme".into()),
            ..DeadFilter::default()
        },
        ..act(status)
    };
    let of_events = Act {
        events: Some(EventFilter {
            org: name("acme"),
            since: Timestamp::default(),
            until: None,
            event_type: None,
            ignore_subscription: false,
        }),
        ..act(ActStatus::Running)
    };
    let of_waiting = Act {
        waiting: Some(WaitingFilter {
            org: name("acme"),
            ids: Vec::new(),
            integration: None,
            provider: None,
            event_type: None,
            status: None,
            since: None,
            until: Timestamp::from_secs(1),
        }),
        ..act(ActStatus::Running)
    };
    let now = Timestamp::from_secs(9);
    for at_work in [of_letters(ActStatus::Running), of_events, of_waiting] {
        let told =
            cancelled(&at_work, &name("acme"), now).map(|act| (act.status, act.updated_at, act.cursor, act.done));
        assert_eq!(told, Some((ActStatus::Cancelled, now, 10, 3)), "{at_work:?}");
        assert_eq!(cancelled(&at_work, &name("other"), now), None, "{at_work:?}");
    }
    for ended in [
        ActStatus::Done,
        ActStatus::Cancelled,
        ActStatus::Failed,
        ActStatus::Unknown,
    ] {
        assert_eq!(cancelled(&of_letters(ended), &name("acme"), now), None, "{ended:?}");
    }
    let of_whoever = act(ActStatus::Running);
    assert_eq!(cancelled(&of_whoever, &name("acme"), now), None, "it names no org");
}
