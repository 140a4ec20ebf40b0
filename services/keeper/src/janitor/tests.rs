use super::*;

fn stream(bytes: u64) -> StreamState {
    StreamState {
        messages: bytes / 10,
        bytes,
        first_seq: 1_001,
        last_seq: 1_000 + bytes / 10,
        bytes_max: Some(10_000),
        created: Timestamp::from_secs(0),
    }
}

#[test]
fn nothing_goes_below_the_high_mark() {
    assert_eq!(purge_before(&stream(8_999), u64::MAX, 90, 80), None);
    assert_eq!(
        purge_before(
            &StreamState {
                bytes_max: None,
                ..stream(9_999)
            },
            u64::MAX,
            90,
            80
        ),
        None
    );
}

#[test]
fn above_it_the_oldest_go_down_to_the_low_mark() {
    assert_eq!(purge_before(&stream(9_000), u64::MAX, 90, 80), Some(1_101));
}

#[test]
fn what_is_not_routed_stays() {
    assert_eq!(purge_before(&stream(9_000), 1_050, 90, 80), Some(1_051));
    assert_eq!(purge_before(&stream(9_000), 1_000, 90, 80), None);
}

#[test]
fn a_stream_without_a_limit_is_never_full() {
    assert_eq!(used(&stream(2_500)), 0.25);
    assert_eq!(
        used(&StreamState {
            bytes_max: None,
            ..stream(2_500)
        }),
        0.0
    );
}
