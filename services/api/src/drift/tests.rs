use signalbox_broker::revisions::Held;

use super::*;

const CONTENT: Option<[u8; 16]> = Some([7; 16]);
const OTHER: Option<[u8; 16]> = Some([8; 16]);

fn original(revision: u64, is_gone: bool) -> Option<Original> {
    Some(Original {
        revision,
        is_gone,
        is_held: false,
        content: CONTENT,
    })
}

fn held(revision: u64, is_gone: bool) -> Option<Copied> {
    Some(Copied {
        held: Held { revision, is_gone },
        content: CONTENT.filter(|_| !is_gone),
    })
}

#[test]
fn what_differs_is_told_by_what_mends_it() {
    let cases = [
        (None, None, None),
        (original(3, false), held(3, false), None),
        (original(3, false), None, Some(How::Missing)),
        (original(3, false), held(2, false), Some(How::Behind)),
        (original(3, false), held(4, false), Some(How::Ahead)),
        (None, held(1, false), Some(How::Unknown)),
        // What is deleted may be forgotten, and need not be known.
        (original(3, true), None, None),
        (None, held(4, true), None),
        (original(3, true), held(3, true), None),
        (original(3, true), held(4, true), None),
        // Deleted here and not there, or there and not here.
        (original(3, true), held(2, false), Some(How::Behind)),
        (original(3, true), held(4, false), Some(How::Ahead)),
        (original(3, false), held(0, true), Some(How::Behind)),
        (original(3, false), held(3, true), Some(How::Ahead)),
        (original(3, false), held(5, true), Some(How::Ahead)),
    ];
    for (original, held, expected) in cases {
        let how = compare(Kind::Key, original.as_ref(), held.as_ref());
        assert_eq!(how, expected, "{original:?} {held:?}");
    }
}

#[test]
fn a_deleted_integration_is_a_value_that_says_so_and_a_deleted_type_is_none() {
    let (original, held) = (original(3, true), held(3, false));
    let compare = |kind| compare(kind, original.as_ref(), held.as_ref());
    assert_eq!(compare(Kind::Integration), None);
    assert_eq!(compare(Kind::EventType), Some(How::Ahead));
}

#[test]
fn of_equal_revisions_what_they_say_counts() {
    let with = |content| held(3, false).map(|copied| Copied { content, ..copied });
    let without = |is_gone| {
        original(3, is_gone).map(|original| Original {
            content: None,
            ..original
        })
    };
    let cases = [
        (original(3, false), with(CONTENT), None),
        (original(3, false), with(OTHER), Some(How::Ahead)),
        // What no worker can read.
        (original(3, false), with(None), Some(How::Ahead)),
        // Written by a newer version on both sides: nobody here can say.
        (without(false), with(OTHER), None),
        (without(false), with(None), None),
        // Another revision says enough.
        (original(4, false), with(OTHER), Some(How::Behind)),
        (original(2, false), with(CONTENT), Some(How::Ahead)),
        (original(3, true), held(3, true), None),
    ];
    for kind in [Kind::Integration, Kind::EventType, Kind::Key, Kind::Org] {
        for (original, copied, expected) in &cases {
            let how = compare(kind, original.as_ref(), copied.as_ref());
            assert_eq!(how, *expected, "{kind:?} {original:?} {copied:?}");
        }
    }
    // Deleted here, and there it is another one that lives.
    let (gone, living) = (original(3, true), with(OTHER));
    assert_eq!(
        compare(Kind::Integration, gone.as_ref(), living.as_ref()),
        Some(How::Ahead)
    );
}

#[test]
fn a_sentence_says_whether_the_number_or_what_is_behind_it_differs() {
    let drift = |revision, in_kv| Drift {
        kind: Kind::Integration,
        id: "one".to_owned(),
        how: How::Ahead,
        revision: Some(revision),
        in_kv: Some(in_kv),
    };
    assert_eq!(
        drift(3, 3).says(),
        "workers have integration one at revision 3 with other content than the database"
    );
    assert_eq!(
        drift(3, 4).says(),
        "workers have integration one at revision 4, which the database, at 3, does not have"
    );
}
