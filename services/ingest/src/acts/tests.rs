use signalbox_proto::act::DeadFilter;

use super::*;

fn act(kind: Kind, status: ActStatus, org: Option<&str>) -> Act {
    Act {
        id: "01a1fcd4-f1c6-775e-b24e-e79b2be50000".into(),
        kind,
        filter: DeadFilter {
            org: org.map(str::to_owned),
            ..DeadFilter::default()
        },
        events: None,
        waiting: None,
        per_second: 100,
        through: 1,
        cursor: 0,
        ahead: None,
        generation: 0,
        status,
        total: None,
        done: 0,
        skipped: 0,
        failed: 0,
        asked_by: String::new(),
        message: String::new(),
        created_at: Timestamp::from_secs(1_000),
        updated_at: Timestamp::from_secs(1_000),
    }
}

#[test]
fn a_replay_sends_in_for_its_own_org_while_it_runs_and_a_while_after() {
    let replay = || Kind::Replay { to: None };
    let of = |act: &Act, secs| org_of(act, Timestamp::from_secs(secs)).map(|org| org.to_string());
    let running = act(replay(), ActStatus::Running, Some("acme"));
    assert_eq!(of(&running, 90_000).as_deref(), Some("acme"));
    let ended = act(replay(), ActStatus::Cancelled, Some("acme"));
    assert_eq!(of(&ended, 1_059).as_deref(), Some("acme"));
    assert_eq!(of(&ended, 1_061), None);
    assert_eq!(of(&act(Kind::Discard, ActStatus::Running, Some("acme")), 1_000), None);
    assert_eq!(of(&act(replay(), ActStatus::Running, None), 1_000), None);
}
