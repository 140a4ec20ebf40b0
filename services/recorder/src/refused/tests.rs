use signalbox_proto::Timestamp;

use super::*;

fn step(stream: &str, from: u64, to: u64) -> Move {
    let position = |seq| Position {
        incarnation: Timestamp::from_secs(1),
        seq,
        at: Timestamp::from_secs(9),
    };
    Move {
        stream: stream.to_owned(),
        from: Some(position(from)),
        to: position(to),
    }
}

#[test]
fn a_batch_is_handed_back_once_and_what_comes_again_from_there_is_proved_otherwise() {
    let handed_back = HandedBack::default();
    let first = [step("OUTCOMES", 7, 8), step("DEAD", 3, 3)];
    assert_eq!(handed_back.proof(&first), Proof::Another);
    handed_back.note(&first);
    // More has come meanwhile.
    let again = [step("OUTCOMES", 7, 9), step("DEAD", 3, 4)];
    assert_eq!(handed_back.proof(&again), Proof::MadeUp);
    // It was written, and the next one is refused.
    for next in [
        [step("OUTCOMES", 9, 10), step("DEAD", 3, 3)],
        [step("OUTCOMES", 7, 7), step("DEAD", 4, 5)],
    ] {
        assert_eq!(handed_back.proof(&next), Proof::Another);
    }
}

#[test]
fn a_recorder_that_never_wrote_hands_back_once_too() {
    let handed_back = HandedBack::default();
    let first = [Move {
        from: None,
        ..step("OUTCOMES", 0, 1)
    }];
    handed_back.note(&first);
    assert_eq!(handed_back.proof(&first), Proof::MadeUp);
}
