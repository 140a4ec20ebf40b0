use signalbox_proto::act::{DeadFilter, KEPT_FOR, KEPT_MAX, Kind};

use super::*;

fn entry(number: u64, status: ActStatus, updated_at: Timestamp) -> Entry<Act> {
    let value = Act {
        id: number.to_string(),
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
        total: None,
        done: 0,
        skipped: 0,
        failed: 0,
        asked_by: String::new(),
        message: String::new(),
        created_at: Timestamp::default(),
        updated_at,
    };
    Entry {
        value,
        revision: number,
    }
}

fn forgotten(acts: &[Entry<Act>], now: Timestamp) -> Vec<u64> {
    let mut found: Vec<u64> = old(acts, now).iter().map(|entry| entry.revision).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_record_is_kept_for_a_month_after_its_act_ended() {
    let start = Timestamp::from_secs(1_000_000);
    let acts = [
        entry(1, ActStatus::Done, start),
        entry(2, ActStatus::Running, start),
        entry(3, ActStatus::Unknown, start),
        entry(4, ActStatus::Cancelled, start + Duration::from_secs(1)),
        entry(5, ActStatus::Failed, start + Duration::from_secs(2)),
    ];
    assert_eq!(forgotten(&acts, start), [0_u64; 0]);
    assert_eq!(forgotten(&acts, start + KEPT_FOR), [1]);
    assert_eq!(forgotten(&acts, start + KEPT_FOR + Duration::from_secs(9)), [1, 4, 5]);
}

#[test]
fn of_many_records_the_newest_are_kept() {
    let start = Timestamp::from_secs(1_000_000);
    let count = KEPT_MAX as u64 + 3;
    let acts: Vec<Entry<Act>> = (0..count)
        .map(|number| entry(number, ActStatus::Done, start + Duration::from_secs(number)))
        .collect();
    assert_eq!(forgotten(&acts, start + Duration::from_secs(count)), [0, 1, 2]);
}
