use signalbox_proto::{
    Timestamp,
    key::{Principal, PrincipalKind},
};

use super::*;

fn key(revision: u64, revoked: bool) -> Change {
    Change::Key {
        hash: "aa".to_owned(),
        key: Box::new(Key {
            id: "1".to_owned(),
            org: None,
            name: "ci".to_owned(),
            scopes: Vec::new(),
            principal: Principal {
                kind: PrincipalKind::Service,
                id: "ci".to_owned(),
            },
            expires_at: None,
            revoked_at: revoked.then_some(Timestamp::from_secs(5)),
            revision,
        }),
    }
}

fn org(status: OrgStatus, revision: u64) -> Change {
    Change::Org(Org {
        name: Name::default_org(),
        status,
        revision,
    })
}

fn rate() -> Option<Arc<Rate>> {
    Some(Arc::new(Rate::new(std::num::NonZeroU32::MIN)))
}

#[test]
fn an_older_revision_never_brings_a_revoked_key_back() {
    let mut known = Known::default();
    let mut take = |change| {
        known.take(change, rate);
        known
            .key("aa")
            .map(|entry| (entry.key.revision, entry.key.revoked_at.is_some()))
    };
    assert_eq!(take(key(1, false)), Some((1, false)));
    assert_eq!(take(key(3, true)), Some((3, true)));
    assert_eq!(take(key(2, false)), Some((3, true)));
    assert_eq!(take(key(3, true)), Some((3, true)));
    assert_eq!(take(Change::KeyGone { hash: "bb".to_owned() }), Some((3, true)));
    assert_eq!(take(Change::KeyGone { hash: "aa".to_owned() }), None);
}

#[test]
fn a_key_that_changes_keeps_what_is_left_of_its_rate() {
    let mut known = Known::default();
    known.take(key(1, false), rate);
    let bucket = |known: &Known| known.key("aa").and_then(|entry| entry.rate.clone()).expect("a rate");
    let first = bucket(&known);
    known.take(key(2, false), rate);
    assert!(Arc::ptr_eq(&first, &bucket(&known)));
}

#[test]
fn an_older_revision_never_opens_an_org_that_is_being_erased() {
    let mut known = Known::default();
    let default = Name::default_org();
    assert_eq!(known.org(&default), None);
    for (change, status) in [
        (org(OrgStatus::Active, 1), Some(OrgStatus::Active)),
        (org(OrgStatus::Erasing, 2), Some(OrgStatus::Erasing)),
        (org(OrgStatus::Active, 1), Some(OrgStatus::Erasing)),
        (org(OrgStatus::Erased, 3), Some(OrgStatus::Erased)),
        (org(OrgStatus::Active, 4), Some(OrgStatus::Active)),
        (Change::OrgGone(default.clone()), None),
    ] {
        known.take(change, rate);
        assert_eq!(known.org(&default), status);
    }
}
