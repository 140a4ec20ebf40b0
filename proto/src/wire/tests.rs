use proptest::prelude::*;

use super::*;
use crate::{
    Accepted, Attempt, DeadLetter, Event, Integration, State,
    act::{Act, Mark},
    state::Gate,
};

fn delivery(events: serde_json::Value) -> Vec<u8> {
    let json = serde_json::json!({
        "id": "d", "org": "acme", "provider": "webhook", "integration": "0199", "revision": 1, "since": 5, "events": events,
    });
    encode(&json).expect("bytes")
}

/// Reads bytes as everything that travels.
fn decode_all(bytes: &[u8]) {
    drop(decode::<Event>(bytes));
    drop(decode::<Accepted>(bytes));
    drop(decode_delivery(bytes));
    drop(decode::<DeadLetter>(bytes));
    drop(decode::<Attempt>(bytes));
    drop(decode::<Record>(bytes));
    drop(decode_records(bytes));
    drop(decode::<Integration>(bytes));
    drop(decode::<State>(bytes));
    drop(decode::<Act>(bytes));
    drop(decode::<Mark>(bytes));
    drop(decode::<Gate>(bytes));
}

#[test]
fn a_delivery_without_an_event_is_refused() {
    assert!(matches!(
        decode_delivery(&delivery(serde_json::json!([]))),
        Err(Error::NoEvent)
    ));
    assert!(matches!(decode_delivery(b""), Err(Error::Decode(_))));
}

#[test]
fn a_record_of_a_newer_version_is_counted_and_the_others_are_read() {
    let known = encode(&Record::NoRoute(vec![(1, 2)])).expect("bytes");
    let newer = encode(&serde_json::json!({ "teleported": { "to": "mars" } })).expect("bytes");
    let batch = Batch {
        records: [&known, &newer, &known]
            .map(|bytes| serde_bytes::ByteBuf::from(bytes.clone()))
            .into(),
    };
    let (records, unknown) = decode_records(&encode(&batch).expect("bytes")).expect("a batch");
    assert_eq!((records.len(), unknown), (2, 1));
    assert_eq!(records[0], Record::NoRoute(vec![(1, 2)]));
}

#[test]
fn hostile_messages_are_errors() {
    let deep = |byte: u8| vec![byte; 100_000];
    for bytes in [
        // Arrays and maps in each other, far deeper than any stack.
        deep(0x91),
        deep(0x81),
        [b"\x81\xa5later".to_vec(), deep(0x91)].concat(),
        // Lengths of 4 GiB with nothing behind them.
        b"\xdd\xff\xff\xff\xff".to_vec(),
        b"\xdf\xff\xff\xff\xff".to_vec(),
        b"\xdb\xff\xff\xff\xff".to_vec(),
        b"\x81\xa7records\x91\xc6\xff\xff\xff\xff".to_vec(),
        // An extension, the byte that means nothing, a text that is not UTF-8.
        b"\xc7\x01\x05\x00".to_vec(),
        b"\xc1".to_vec(),
        b"\x81\xa2id\xa2\xff\xfe".to_vec(),
    ] {
        assert!(decode::<Event>(&bytes).is_err());
        assert!(decode_records(&bytes).is_err());
        decode_all(&bytes);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_damaged_message_makes_decoding_panic(
        at in any::<prop::sample::Index>(),
        byte: u8,
        end in any::<prop::sample::Index>(),
    ) {
        let event = serde_json::json!([{ "event": { "id": "1", "org": "acme", "type": "a.b", "source": "/acme" }, "seq": 1, "at": 5 }]);
        let mut bytes = delivery(event);
        let length = bytes.len();
        bytes[at.index(length)] = byte;
        decode_all(&bytes);
        decode_all(&bytes[..end.index(length)]);
    }
}
