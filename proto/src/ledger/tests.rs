use proptest::prelude::*;

use super::*;

const BY_PRECEDENCE: [Final; 5] = [
    Final::Delivered,
    Final::Discarded,
    Final::Dead,
    Final::Expired,
    Final::Unknown,
];

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0_u32..4, prop::sample::select(BY_PRECEDENCE.to_vec()))
        .prop_map(|(generation, state)| Row { generation, state });
    prop::collection::vec(row, 1..12)
}

fn joined(rows: &[Row]) -> Row {
    rows.iter().copied().reduce(Row::join).expect("at least one row")
}

/// The rule as it is told: of the newest generation, the first word of the list that anyone reported.
fn model(rows: &[Row]) -> Row {
    let generation = rows.iter().map(|row| row.generation).max().expect("at least one row");
    let of_newest: Vec<Final> = rows
        .iter()
        .filter(|row| row.generation == generation)
        .map(|row| row.state)
        .collect();
    let state = BY_PRECEDENCE
        .into_iter()
        .find(|state| of_newest.contains(state))
        .expect("at least one state");
    Row { generation, state }
}

#[test]
fn a_replay_outdoes_every_end_before_it() {
    let delivered = Row {
        generation: 0,
        state: Final::Delivered,
    };
    let expired = Row {
        generation: 1,
        state: Final::Expired,
    };
    assert_eq!(delivered.join(expired), expired);
    assert_eq!(expired.join(delivered), expired);
}

proptest! {
    #[test]
    fn a_join_is_the_rule_as_it_is_told(rows in rows()) {
        prop_assert_eq!(joined(&rows), model(&rows));
    }

    #[test]
    fn reports_may_come_in_any_order_and_again(rows in rows(), again in any::<prop::sample::Index>(), shift: usize) {
        let mut shuffled = rows.clone();
        shuffled.push(rows[again.index(rows.len())]);
        let length = shuffled.len();
        shuffled.rotate_left(shift % length);
        prop_assert_eq!(joined(&shuffled), joined(&rows));
        shuffled.reverse();
        prop_assert_eq!(joined(&shuffled), joined(&rows));
    }

    #[test]
    fn joining_is_associative_commutative_and_idempotent(rows in prop::collection::vec(rows(), 3)) {
        let (a, b, c) = (rows[0][0], rows[1][0], rows[2][0]);
        prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
        prop_assert_eq!(a.join(b), b.join(a));
        prop_assert_eq!(a.join(a), a);
    }
}
