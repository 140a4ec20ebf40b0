use super::*;

const MADE: Timestamp = Timestamp::from_secs(5);

fn edge(position: Option<(Timestamp, u64)>, last_seq: u64) -> Edge {
    let state = StreamState {
        messages: last_seq,
        bytes: 0,
        first_seq: 1,
        last_seq,
        bytes_max: None,
        created: MADE,
    };
    let position = position.map(|(incarnation, seq)| Position {
        incarnation,
        seq,
        at: Timestamp::from_secs(50),
    });
    Edge::of(position.as_ref(), &state)
}

#[test]
fn what_lies_behind_the_position_is_not_recorded() {
    let behind = edge(Some((MADE, 7)), 9);
    assert_eq!((behind.seq, behind.behind()), (7, 2));
    let later = Timestamp::from_secs(60);
    assert!(behind.covers(7, later) && !behind.covers(8, later));
    assert_eq!(edge(Some((MADE, 9)), 9).behind(), 0);
}

#[test]
fn of_another_stream_nothing_is_recorded() {
    for unknown in [edge(None, 9), edge(Some((Timestamp::from_secs(4), 7)), 9)] {
        assert_eq!((unknown.seq, unknown.behind()), (0, 9));
        assert!(!unknown.covers(1, Timestamp::MIN));
    }
}

#[test]
fn of_a_stream_that_lost_its_end_what_is_recorded_is_known_by_its_time() {
    let shorter = edge(Some((MADE, 12)), 9);
    assert_eq!(shorter.seq, 0);
    assert!(shorter.covers(9, Timestamp::from_secs(49)));
    assert!(!shorter.covers(9, Timestamp::from_secs(50)));
}
