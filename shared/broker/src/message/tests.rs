use super::*;

#[test]
fn both_forms_of_the_acknowledgement_subject_give_the_same_place() {
    let place = Place {
        seq: 42,
        delivered: 3,
        consumer_seq: 40,
        at: Timestamp::from_nanos(1_700_000_000_000_000_000),
        pending: 7,
    };
    assert_eq!(
        read_place("$JS.ACK.EVENTS.router-0.3.42.40.1700000000000000000.7"),
        Some(place)
    );
    assert_eq!(
        read_place("$JS.ACK.hub.ACCHASH.EVENTS.router-0.3.42.40.1700000000000000000.7.rand"),
        Some(place)
    );
}

#[test]
fn other_subjects_are_no_place() {
    for reply in ["", "_INBOX.abc", "$JS.ACK.", "$JS.ACK.a.b.c", "$JS.ACK.S.C.x.y.z.t.p"] {
        assert_eq!(read_place(reply), None, "{reply}");
    }
}
