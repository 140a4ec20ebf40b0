use super::*;

fn json(bytes: &[u8]) -> Result<String, Rejection> {
    to_json(bytes, "data", 100_000).map(|json| String::from_utf8(json.to_vec()).unwrap())
}

#[test]
fn every_type_that_json_has_is_written_as_json() {
    let long = "x".repeat(300);
    let long_text = [&[0xda, 0x01, 0x2c], long.as_bytes()].concat();
    let array = [&[0xdc, 0x00, 0x10][..], &[0x00; 16]].concat();
    for (bytes, expected) in [
        (&b"\xc0"[..], "null".to_owned()),
        (b"\xc2", "false".into()),
        (b"\xc3", "true".into()),
        (b"\x00", "0".into()),
        (b"\x7f", "127".into()),
        (b"\xff", "-1".into()),
        (b"\xe0", "-32".into()),
        (b"\xcc\xff", "255".into()),
        (b"\xcd\xff\xff", "65535".into()),
        (b"\xce\xff\xff\xff\xff", "4294967295".into()),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX.to_string()),
        (b"\xd0\x80", "-128".into()),
        (b"\xd1\x80\x00", "-32768".into()),
        (b"\xd2\x80\x00\x00\x00", i32::MIN.to_string()),
        (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", i64::MIN.to_string()),
        (b"\xca\x3d\xcc\xcc\xcd", "0.1".into()),
        (b"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "0.1".into()),
        (b"\xa0", "\"\"".into()),
        (b"\xa5\xc3\xa9\"\n\x01", "\"\u{e9}\\\"\\n\\u0001\"".into()),
        (b"\xd9\x01a", "\"a\"".into()),
        (&long_text, format!("\"{long}\"")),
        (b"\xdb\x00\x00\x00\x01a", "\"a\"".into()),
        (b"\xc4\x02\xff\x00", "\"/wA=\"".into()),
        (b"\xc5\x00\x01a", "\"YQ==\"".into()),
        (b"\xc6\x00\x00\x00\x00", "\"\"".into()),
        (b"\x90", "[]".into()),
        (b"\x92\x01\x91\xc0", "[1,[null]]".into()),
        (&array, format!("[{}]", ["0"; 16].join(","))),
        (b"\xdd\x00\x00\x00\x01\x01", "[1]".into()),
        (b"\x80", "{}".into()),
        (b"\x82\xa1a\x01\xa1b\x81\xa1c\xc0", r#"{"a":1,"b":{"c":null}}"#.into()),
        (b"\xde\x00\x01\xd9\x01a\x01", r#"{"a":1}"#.into()),
        (b"\xdf\x00\x00\x00\x01\xa1a\x01", r#"{"a":1}"#.into()),
    ] {
        assert_eq!(json(bytes).unwrap(), expected, "{bytes:02x?}");
    }
}

#[test]
fn what_json_has_not_is_refused_and_named() {
    for (bytes, field, message) in [
        (&b"\x81\xa1a\xd4\x05\x00"[..], "data.a", "extension type 5"),
        (b"\x81\xa1a\xd6\xff\x00\x00\x00\x00", "data.a", "timestamp"),
        (
            b"\x81\xa1a\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            "data.a",
            "timestamp",
        ),
        (b"\x81\xa1a\x92\x01\xca\x7f\xc0\x00\x00", "data.a[1]", "NaN"),
        (b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "data", "infinite"),
        (b"\x81\x07\x01", "data", "the key 7,"),
        (b"\x81\xa1a\x81\xc0\x01", "data.a", "the key null,"),
        (b"\x81\x91\x01\x01", "data", "the key [1],"),
        (b"\x81\xc4\x01a\x01", "data", "the key \"YQ==\","),
        (b"\x81\xa1a\xa1\xff", "data.a", "not UTF-8"),
        (b"\x81\xa1\xff\x01", "data", "not UTF-8"),
    ] {
        let rejection = json(bytes).unwrap_err();
        assert_eq!(rejection.field.as_deref(), Some(field), "{bytes:02x?}: {rejection}");
        assert!(rejection.message.contains(message), "{bytes:02x?}: {rejection}");
        assert_eq!(rejection.kind, Wrong::Invalid);
    }
}

#[test]
fn what_is_no_messagepack_is_malformed() {
    for bytes in [
        &b""[..],
        b"\xc1",
        b"\x81\xa1a",
        b"\x92\x01",
        b"\xa5abc",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\xa1a",
        b"\xc6\xff\xff\xff\xff",
        b"\xcb\x00",
        b"\x01\x02",
        b"{\"a\":1}",
    ] {
        assert_eq!(json(bytes).unwrap_err().kind, Wrong::Malformed, "{bytes:02x?}");
    }
}

#[test]
fn nesting_and_size_have_their_bounds() {
    let nested = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    assert!(json(&nested(DEPTH_MAX + OUTER_LEVELS)).is_ok());
    assert_eq!(
        json(&nested(DEPTH_MAX + OUTER_LEVELS + 1))
            .unwrap_err()
            .field
            .as_deref(),
        Some("data")
    );
    assert!(json(&nested(1_000_000)).is_err());
    // Each control character is six of JSON.
    let text = [&[0xda, 0x03, 0xe8][..], &[1; 1_000]].concat();
    assert_eq!(to_json(&text, "data", 6_002).unwrap().len(), 6_002);
    assert_eq!(to_json(&text, "data", 6_001).unwrap_err().kind, Wrong::TooLarge);
}

#[test]
fn an_array_is_a_list_of_which_each_element_is_judged_by_itself() {
    let Body::List(elements) = read(b"\x94\x81\xa1a\x01\x81\x07\x01\x81\xa1b\x02\xda\x00\x00", 1_000).unwrap() else {
        panic!("an array is a list");
    };
    assert_eq!(elements[0].as_deref().unwrap(), br#"{"a":1}"#);
    assert!(elements[1].as_ref().unwrap_err().message.contains("key 7"));
    assert_eq!(elements[2].as_deref().unwrap(), br#"{"b":2}"#);
    assert_eq!(elements[3].as_deref().unwrap(), br#""""#);
    assert_eq!(
        read(b"\x81\xa1a\x01", 1_000).unwrap(),
        Body::One(Bytes::from_static(br#"{"a":1}"#))
    );
    assert_eq!(read(b"\xdd\x00\x00\x03\xe9", 1_000).unwrap_err(), batch::too_many());
    assert!(read(b"\x92\x01", 1_000).is_err(), "cut off behind a whole element");
}
