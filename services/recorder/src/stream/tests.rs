use signalbox_broker::events::StreamState;
use signalbox_proto::Timestamp;
use signalbox_store::history::Position;

use super::{Opening, gap};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn state(first_seq: u64, last_seq: u64) -> StreamState {
    StreamState {
        messages: last_seq + 1 - first_seq,
        bytes: 0,
        first_seq,
        last_seq,
        bytes_max: None,
        created: at(100),
    }
}

fn position(seq: u64, secs: i64) -> Position {
    Position {
        incarnation: at(100),
        seq,
        at: at(secs),
    }
}

#[test]
fn a_stream_that_was_never_recorded_begins_with_what_it_holds() {
    assert_eq!(Opening::of(None, &state(5, 9), None), Opening::First);
}

#[test]
fn reading_goes_on_behind_what_is_recorded_also_where_that_is_gone() {
    let position = position(7, 200);
    assert_eq!(Opening::of(Some(&position), &state(5, 9), Some(at(200))), Opening::GoOn);
    assert_eq!(Opening::of(Some(&position), &state(8, 9), None), Opening::GoOn);
    assert_eq!(Opening::of(Some(&position), &state(8, 7), None), Opening::GoOn);
}

#[test]
fn a_stream_of_another_time_is_another_stream() {
    let position = Position {
        incarnation: at(99),
        ..position(7, 200)
    };
    assert_eq!(Opening::of(Some(&position), &state(1, 9), Some(at(200))), Opening::Anew);
}

#[test]
fn a_stream_whose_end_was_lost_is_known_by_its_last_sequence_or_by_the_time_of_a_message() {
    let position = position(7, 200);
    assert_eq!(Opening::of(Some(&position), &state(1, 6), None), Opening::Shortened);
    assert_eq!(
        Opening::of(Some(&position), &state(1, 9), Some(at(201))),
        Opening::Shortened
    );
}

#[test]
fn a_jump_of_the_sequence_is_a_gap_between_two_records() {
    assert_eq!(gap("OUTCOMES", &position(7, 200), 8, at(300)), None);
    let gap = gap("OUTCOMES", &position(7, 200), 12, at(300)).unwrap();
    assert_eq!((gap.first_seq, gap.last_seq), (8, 11));
    assert_eq!((gap.since, gap.until), (at(200), at(300)));
}
