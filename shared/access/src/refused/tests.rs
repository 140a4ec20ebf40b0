use signalbox_proto::key::PrincipalKind;

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

#[test]
fn uses_are_counted_by_key_and_reason_and_told_once() {
    let refusals = Refusals::default();
    let at = Timestamp::from_secs;
    refusals.note(&key("1"), Why::Revoked, at(5));
    refusals.note(&key("1"), Why::Revoked, at(7));
    refusals.note(&key("1"), Why::WrongOrg, at(6));
    refusals.note(&key("2"), Why::Revoked, at(8));
    let told: Vec<_> = refusals
        .take()
        .into_iter()
        .map(|one| (one.key_id, one.why, one.count, one.last_at))
        .collect();
    assert_eq!(
        told,
        [
            ("1".to_owned(), Why::Revoked, 2, at(7)),
            ("1".to_owned(), Why::WrongOrg, 1, at(6)),
            ("2".to_owned(), Why::Revoked, 1, at(8)),
        ]
    );
    assert_eq!(refusals.take(), []);
}

#[test]
fn they_are_bounded_and_what_is_counted_goes_on_being_counted() {
    let refusals = Refusals::default();
    for number in 0..2 * ENTRIES_MAX {
        refusals.note(&key(&format!("{number:05}")), Why::Expired, Timestamp::from_secs(1));
    }
    refusals.note(&key("00000"), Why::Expired, Timestamp::from_secs(2));
    let told = refusals.take();
    assert_eq!((told.len(), told[0].count), (ENTRIES_MAX, 2));
}
