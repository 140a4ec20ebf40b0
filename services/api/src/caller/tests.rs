use secrecy::SecretString;
use signalbox_access::{Access, Config, NewKey};
use signalbox_broker::callers::Change;
use signalbox_proto::{Key, Timestamp, key::PrincipalKind};
use signalbox_runtime::AdminKey;

use super::*;

/// What an access that knows one key beside the installation's own says of that one.
fn known(org: Option<&str>, scopes: &[Scope]) -> signalbox_access::Caller {
    let root = AdminKey::new("a test", &SecretString::from("sbx_0123456789abcdef")).expect("a key");
    let access = Access::new(root, &Config { requests_per_second: 0 });
    let new = NewKey::random().expect("random bytes");
    let key = Key {
        id: "0199c0de-0000-7000-8000-0000000000cc".to_owned(),
        org: org.map(|org| org.parse().expect("a name")),
        name: "ci".to_owned(),
        scopes: scopes.to_vec(),
        principal: Principal {
            kind: PrincipalKind::User,
            id: "ada".to_owned(),
        },
        expires_at: None,
        revoked_at: None,
        revision: 1,
    };
    access.learn(Change::Key {
        hash: new.hash.clone(),
        key: Box::new(key),
    });
    let headers = crate::frame::tests::bearer(secrecy::ExposeSecret::expose_secret(&new.text));
    access.check(&headers, Timestamp::now()).expect("the key is known")
}

/// The org acted in and the org asked about, or the code of the refusal.
fn of(
    known: &signalbox_access::Caller,
    scope: Scope,
    reach: Reach,
    asked: Option<&str>,
) -> Result<(String, Option<String>), &'static str> {
    Caller::of(known, &scope, reach, asked, &Extensions::new())
        .map(|caller| (caller.org.to_string(), caller.any_org.map(|org| org.to_string())))
        .map_err(|problem| problem.code)
}

fn acts_in(org: &str) -> Result<(String, Option<String>), &'static str> {
    Ok((org.to_owned(), None))
}

#[test]
fn a_key_acts_in_its_own_org_alone() {
    let acme = known(Some("acme"), &[Scope::IntegrationsRead]);
    for asked in [None, Some("acme")] {
        assert_eq!(of(&acme, Scope::IntegrationsRead, Reach::Org, asked), acts_in("acme"));
        let about = Ok(("acme".to_owned(), Some("acme".to_owned())));
        assert_eq!(of(&acme, Scope::IntegrationsRead, Reach::AnyOrg, asked), about);
    }
    for reach in [Reach::Org, Reach::AnyOrg] {
        for asked in ["other", "default"] {
            let refused = of(&acme, Scope::IntegrationsRead, reach, Some(asked));
            assert_eq!(refused, Err("wrong_org"), "{asked}");
        }
    }
}

#[test]
fn a_scope_is_needed_before_anything_else_is_looked_at() {
    let reads = known(Some("acme"), &[Scope::IntegrationsRead]);
    for scope in Scope::ALL {
        let may = scope == Scope::IntegrationsRead;
        assert_eq!(of(&reads, scope.clone(), Reach::Org, None).is_ok(), may, "{scope:?}");
    }
    for asked in ["other", "No Name"] {
        assert_eq!(
            of(&reads, Scope::DeadLettersWrite, Reach::Org, Some(asked)),
            Err("missing_scope")
        );
    }
}

#[test]
fn an_admin_without_an_org_acts_for_any_and_means_all_where_a_route_reaches_them() {
    let root = known(None, &[Scope::Admin]);
    assert_eq!(of(&root, Scope::Admin, Reach::Org, None), acts_in("default"));
    assert_eq!(of(&root, Scope::Admin, Reach::Org, Some("acme")), acts_in("acme"));
    assert_eq!(of(&root, Scope::Admin, Reach::Org, Some("No Name")), Err("invalid"));
    assert_eq!(of(&root, Scope::Admin, Reach::AnyOrg, None), acts_in("default"));
    let about = Ok(("acme".to_owned(), Some("acme".to_owned())));
    assert_eq!(of(&root, Scope::Admin, Reach::AnyOrg, Some("acme")), about);
    assert_eq!(of(&root, Scope::Admin, Reach::Installation, None), acts_in("default"));
}

#[test]
fn the_installation_is_for_admins_without_an_org() {
    let admin = known(Some("acme"), &[Scope::Admin]);
    assert_eq!(of(&admin, Scope::Admin, Reach::Installation, None), Err("wrong_org"));
    let reads = known(Some("acme"), &[Scope::IntegrationsRead]);
    assert_eq!(
        of(&reads, Scope::IntegrationsRead, Reach::Installation, None),
        Err("missing_scope")
    );
}

#[test]
fn what_is_seen_and_acted_on_follows_the_org_of_the_key() {
    let caller = |known| Caller::of(&known, &Scope::Admin, Reach::AnyOrg, None, &Extensions::new());
    let acme = caller(known(Some("acme"), &[Scope::Admin])).expect("a caller");
    assert!(acme.sees(Some("acme")) && !acme.sees(Some("other")) && !acme.sees(None));
    let other: Name = "other".parse().expect("a name");
    assert_eq!(acme.act_for(&other).expect_err("refused").code, "wrong_org");
    assert_eq!(acme.name(), "user ada");
    let root = caller(known(None, &[Scope::Admin])).expect("a caller");
    assert!(root.sees(Some("acme")) && root.sees(None) && root.act_for(&other).is_ok());
}
