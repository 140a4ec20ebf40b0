use signalbox_proto::{
    Name,
    key::{Principal, PrincipalKind},
};

use super::*;

fn key(id: &str) -> Key {
    Key {
        id: id.to_owned(),
        org: Some(Name::default_org()),
        name: "ci".to_owned(),
        scopes: Vec::new(),
        principal: Principal {
            kind: PrincipalKind::Service,
            id: "ci".to_owned(),
        },
        expires_at: None,
        revoked_at: None,
        revision: 1,
    }
}

fn told(refusals: &Refusals, secs: i64, is_end: bool) -> Vec<(String, Why, u64, Timestamp)> {
    let told = refusals.take(Timestamp::from_secs(secs), is_end).into_iter();
    told.map(|one| (one.key_id, one.why, one.count, one.last_at)).collect()
}

#[test]
fn the_first_is_told_at_once_and_further_ones_as_a_number() {
    let refusals = Refusals::default();
    let at = Timestamp::from_secs;
    refusals.note(&key("1"), Why::Revoked, at(5));
    refusals.note(&key("1"), Why::Revoked, at(7));
    refusals.note(&key("1"), Why::WrongOrg, at(6));
    refusals.note(&key("2"), Why::Revoked, at(8));
    let expected = [
        ("1".to_owned(), Why::Revoked, 2, at(7)),
        ("1".to_owned(), Why::WrongOrg, 1, at(6)),
        ("2".to_owned(), Why::Revoked, 1, at(8)),
    ];
    assert_eq!(told(&refusals, 9, false), expected);
    assert_eq!(told(&refusals, 9, false), []);
    for secs in 10..20 {
        refusals.note(&key("1"), Why::Revoked, at(secs));
    }
    refusals.note(&key("3"), Why::Expired, at(20));
    assert_eq!(told(&refusals, 21, false), [("3".to_owned(), Why::Expired, 1, at(20))]);
    assert_eq!(
        told(&refusals, 9 + 600, false),
        [("1".to_owned(), Why::Revoked, 10, at(19))]
    );
    // What was quiet since it was told is told at once again.
    assert_eq!(told(&refusals, 9 + 1_200, false), []);
    refusals.note(&key("1"), Why::Revoked, at(1_300));
    assert_eq!(
        told(&refusals, 1_301, false),
        [("1".to_owned(), Why::Revoked, 1, at(1_300))]
    );
}

#[test]
fn nothing_is_lost_at_the_end_nor_where_it_could_not_be_told() {
    let refusals = Refusals::default();
    let at = Timestamp::from_secs;
    refusals.note(&key("1"), Why::Revoked, at(5));
    for refused in refusals.take(at(6), false) {
        refusals.add(refused);
    }
    refusals.note(&key("1"), Why::Revoked, at(7));
    assert_eq!(told(&refusals, 8, true), [("1".to_owned(), Why::Revoked, 2, at(7))]);
}

#[test]
fn they_are_bounded_and_what_is_counted_goes_on_being_counted() {
    let refusals = Refusals::default();
    for number in 0..2 * ENTRIES_MAX {
        refusals.note(&key(&format!("{number:05}")), Why::Expired, Timestamp::from_secs(1));
    }
    refusals.note(&key("00000"), Why::Expired, Timestamp::from_secs(2));
    let told = told(&refusals, 3, false);
    assert_eq!((told.len(), told[0].2), (ENTRIES_MAX, 2));
}
