use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[test]
fn an_identity_is_22_url_safe_characters_and_never_changes() {
    let id = parts([b"acme", b"/acme", b"1"]);
    assert_eq!(id.len(), LENGTH);
    assert!(
        id.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    );
    // Written down: another value here would deliver everything under way a second time.
    assert_eq!(id, "izAur5sCQgnhgY9pXlCSdQ");
    assert_eq!(parts([b""]), "r1Vw9aGBC3r3jK9LxwpmDw");
}

#[test]
fn parts_do_not_meet_by_their_concatenation() {
    let ids = [
        parts([b"ab", b"c"]),
        parts([b"a", b"bc"]),
        parts([b"", b"abc"]),
        parts([b"abc", b""]),
        parts([b"abc"]),
        parts([b"abc", b"", b""]),
        // A part that looks like a length and the part behind it.
        parts([b"a\0\0\0\0\0\0\0\x02bc"]),
    ];
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[index + 1..].contains(id), "{index}");
    }
}

#[test]
fn fnv1a_is_the_published_function() {
    // From the authors' own test vectors.
    for (text, hash) in [
        ("", 0x811c_9dc5),
        ("a", 0xe40c_292c),
        ("b", 0xe70c_2de5),
        ("foo", 0xa9f3_7ed7),
        ("foob", 0x3f50_76ef),
        ("foobar", 0xbf9c_f968),
    ] {
        assert_eq!(fnv1a(text.as_bytes()), hash, "{text}");
    }
}

proptest! {
    #[test]
    fn only_equal_lists_have_equal_identities(lists in prop::collection::vec(prop::array::uniform3("[ab]{0,3}"), 2..50)) {
        let mut seen: HashMap<String, &[String; 3]> = HashMap::new();
        for list in &lists {
            let id = parts([list[0].as_bytes(), list[1].as_bytes(), list[2].as_bytes()]);
            if let Some(other) = seen.insert(id, list) {
                prop_assert_eq!(other, list);
            }
        }
    }
}
