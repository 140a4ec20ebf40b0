use signalbox_proto::{ledger::Final, ledger::Row, outcome::Next};

use super::{ATTEMPT_MAX, Rank, Source, Status, precedence};

const FINALS: [Final; 5] = [
    Final::Delivered,
    Final::Discarded,
    Final::Dead,
    Final::Expired,
    Final::Unknown,
];

fn rank(generation: u32, next: Next, attempt: u32) -> Rank {
    Rank::new(generation, precedence(next), attempt, Source::Outcomes)
}

#[test]
fn of_two_ends_the_one_counts_that_counts_in_the_ledger() {
    for generation in [0, 1, 700_000_000, u32::MAX] {
        for one in FINALS {
            for other in FINALS {
                let row = |state| Row { generation, state };
                let (first, second) = (
                    rank(generation, Next::Final(one), 9),
                    rank(generation, Next::Final(other), 1),
                );
                if one != other {
                    let counts = if first > second { one } else { other };
                    assert_eq!(row(one).join(row(other)).state, counts, "{one:?} {other:?}");
                }
            }
        }
    }
}

#[test]
fn a_generation_counts_above_all_that_an_earlier_one_says() {
    let earlier = Rank::new(6, precedence(Next::Final(Final::Delivered)), u32::MAX, Source::Letter);
    assert!(rank(7, Next::Parked, 0) > earlier);
    assert!(rank(u32::MAX, Next::Final(Final::Delivered), u32::MAX).0 > 0);
}

#[test]
fn an_end_counts_above_any_attempt_and_a_later_attempt_above_an_earlier_one() {
    assert!(rank(1, Next::Final(Final::Unknown), 0) > rank(1, Next::Retrying, ATTEMPT_MAX));
    assert!(rank(1, Next::Retrying, 3) > rank(1, Next::Parked, 2));
}

#[test]
fn a_rank_says_what_it_was_made_of() {
    let rank = rank(u32::MAX, Next::Final(Final::Dead), 20);
    assert_eq!((rank.generation(), rank.attempt()), (u32::MAX, 20));
}

#[test]
fn each_status_is_read_by_its_word() {
    for status in Status::ALL {
        assert_eq!(Status::of(status.as_str()), Some(status));
    }
    assert_eq!(Status::of("pending"), None);
}
