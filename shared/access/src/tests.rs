use axum::http::{HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use signalbox_proto::{Org, refused::Why};

use super::*;

const ROOT: &str = "sbx_the-admin-key-of-this-test";

/// Keys put into an [`Access`], by the words that tests give them.
struct Keys {
    access: Access,
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn bearer(text: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {text}")).expect("a header");
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

fn key(org: Option<&str>, scopes: &[&str]) -> Key {
    Key {
        id: "0199c0de-0000-7000-8000-0000000000cc".to_owned(),
        org: org.map(name),
        name: "ci".to_owned(),
        scopes: scopes.iter().map(|word| Scope::read(word)).collect(),
        principal: Principal {
            kind: PrincipalKind::User,
            id: "ada".to_owned(),
        },
        expires_at: None,
        revoked_at: None,
        revision: 1,
    }
}

impl Keys {
    fn new() -> Self {
        Self::at_rate(0)
    }

    fn at_rate(requests_per_second: u32) -> Self {
        let root = AdminKey::new("test", &SecretString::from(ROOT)).expect("a key");
        let access = Access::new(root, &Config { requests_per_second });
        access.learn(Change::Complete);
        Self { access }
    }

    /// Adds a key; answers its text.
    fn add(&self, key: Key) -> String {
        let new = NewKey::random().expect("random bytes");
        self.put(&new, key);
        new.text.expose_secret().to_owned()
    }

    fn put(&self, new: &NewKey, key: Key) {
        self.access.learn(Change::Key {
            hash: new.hash.clone(),
            key: Box::new(key),
        });
    }

    fn check(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.access.check(headers, at(1_000))
    }

    fn caller(&self, key: Key) -> Caller {
        let text = self.add(key);
        self.check(&bearer(&text)).expect("a key that is known")
    }
}

/// All that a refused caller could tell something by.
fn told(problem: &Problem) -> String {
    format!("{problem:?}")
}

#[test]
fn whoever_has_no_key_that_opens_is_told_so_and_nothing_else() {
    let keys = Keys::new();
    let expired = keys.add(Key {
        expires_at: Some(at(1_000)),
        ..key(Some("acme"), &["admin"])
    });
    let revoked = keys.add(Key {
        revoked_at: Some(at(2_000)),
        ..key(Some("acme"), &["admin"])
    });
    let raw = |value: &[u8]| {
        let value = HeaderValue::from_bytes(value).expect("a header");
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    };
    for (headers, code) in [
        (HeaderMap::new(), "unauthenticated"),
        (raw(b""), "unauthenticated"),
        (raw(b"Bearer"), "unauthenticated"),
        (raw(b"Bearer "), "unauthenticated"),
        (raw(b"Basic YWRtaW46YWRtaW4="), "unauthenticated"),
        (raw(ROOT.as_bytes()), "unauthenticated"),
        (raw(b"Bearer \xff\xfe"), "unauthenticated"),
        (bearer("x"), "bad_key"),
        (bearer(&format!("{ROOT}x")), "bad_key"),
        (bearer("sbx_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "bad_key"),
        (bearer(&expired), "bad_key"),
        (bearer(&revoked), "bad_key"),
    ] {
        let problem = keys.check(&headers).expect_err("refused");
        assert_eq!((problem.status.as_u16(), problem.code), (401, code), "{headers:?}");
        assert_eq!(
            problem.headers,
            [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))]
        );
    }
    let unknown = keys.check(&bearer("sbx_unknown")).expect_err("refused");
    for text in [&expired, &revoked] {
        let problem = keys.check(&bearer(text)).expect_err("refused");
        assert_eq!(told(&problem), told(&unknown), "one answer for the three");
    }
}

#[test]
fn a_key_opens_until_its_time_and_a_caller_is_who_its_key_says() {
    let keys = Keys::new();
    let text = keys.add(Key {
        expires_at: Some(at(1_001)),
        ..key(Some("acme"), &["events:write", "deliveries:read"])
    });
    let caller = keys.check(&bearer(&text)).expect("valid for one second more");
    assert_eq!(caller.own_org(), Some(&name("acme")));
    assert_eq!(
        (caller.key_id(), caller.key_name(), caller.principal().id.as_str()),
        ("0199c0de-0000-7000-8000-0000000000cc", "ci", "ada")
    );
    assert!(!caller.is_root() && !caller.is_of_all());
    assert_eq!(
        keys.access.check(&bearer(&text), at(1_001)).expect_err("expired").code,
        "bad_key"
    );
    let root = keys.check(&bearer(ROOT)).expect("the admin key");
    assert!(root.is_root() && root.is_of_all() && root.own_org().is_none());
    assert_eq!((root.key_id(), root.principal().id.as_str()), (ROOT_ID, ROOT_ID));
}

#[test]
fn a_scope_that_is_missing_is_named() {
    let keys = Keys::new();
    for (held, required, allowed) in [
        (&["events:write"][..], Scope::EventsWrite, true),
        (&["events:write"], Scope::DeliveriesRead, false),
        (&["integrations:write"], Scope::IntegrationsRead, false),
        (&["admin"], Scope::DeadLettersWrite, true),
        (&["workflows:write"], Scope::EventsWrite, false),
        (&["workflows:write"], Scope::read("workflows:write"), false),
        (&["admin"], Scope::read("workflows:write"), true),
        (&[], Scope::EventsWrite, false),
    ] {
        let caller = keys.caller(key(Some("acme"), held));
        let answer = caller.require(&required);
        assert_eq!(answer.is_ok(), allowed, "{held:?} for {required}");
        if let Err(problem) = answer {
            assert_eq!((problem.status.as_u16(), problem.code), (403, "missing_scope"));
            assert_eq!(problem.more["scope"], required.as_str());
        }
    }
}

#[test]
fn a_key_acts_in_its_own_org_and_only_an_admin_without_one_in_any() {
    let keys = Keys::new();
    keys.access.learn(Change::Org(Org {
        name: name("there"),
        status: OrgStatus::Active,
        revision: 1,
    }));
    let (acme, there, nowhere) = (name("acme"), name("there"), name("nowhere"));
    let of_acme = keys.caller(key(Some("acme"), &["admin"]));
    assert_eq!(of_acme.org(None), Ok(acme.clone()));
    assert_eq!(of_acme.org(Some(&acme)), Ok(acme.clone()));
    assert_eq!(of_acme.org_or_all(None), Ok(Some(acme.clone())));
    let exists = of_acme.org(Some(&there)).expect_err("another's");
    let missing = of_acme.org(Some(&nowhere)).expect_err("nobody's");
    assert_eq!((exists.status.as_u16(), exists.code), (403, "wrong_org"));
    assert_eq!(told(&exists), told(&missing), "it tells nothing of other orgs");
    assert_eq!(of_acme.require_all().expect_err("of one org").code, "wrong_org");

    for of_all in [
        keys.caller(key(None, &["admin"])),
        keys.check(&bearer(ROOT)).expect("the admin key"),
    ] {
        assert_eq!(of_all.org(None), Ok(Name::default_org()));
        assert_eq!(of_all.org(Some(&nowhere)), Ok(nowhere.clone()));
        assert_eq!(of_all.org_or_all(None), Ok(None));
        assert_eq!(of_all.org_or_all(Some(&acme)), Ok(Some(acme.clone())));
        assert_eq!(of_all.require_all(), Ok(()));
    }

    // What another version may have written: no org, and no `admin`.
    let of_none = keys.caller(key(None, &["events:write"]));
    for asked in [None, Some(&acme)] {
        assert_eq!(of_none.org(asked).expect_err("of no org").code, "wrong_org");
        assert_eq!(of_none.org_or_all(asked).expect_err("of no org").code, "wrong_org");
    }
    assert_eq!(of_none.require_all().expect_err("no admin").code, "missing_scope");
}

#[test]
fn each_key_has_a_rate_of_its_own() {
    let keys = Keys::at_rate(1);
    let (one, other) = (
        keys.add(key(Some("acme"), &["admin"])),
        keys.add(key(Some("acme"), &["admin"])),
    );
    let spend = |text: &str| keys.check(&bearer(text)).expect("a key").spend();
    // Two at once; a third can only go once a second has passed, and a machine may be that slow.
    let answers: Vec<_> = (0..50).map(|_| spend(&one)).collect();
    let problem = answers
        .into_iter()
        .find_map(Result::err)
        .expect("50 within some seconds");
    assert_eq!((problem.status.as_u16(), problem.code), (429, "too_many_requests"));
    assert_eq!(problem.headers, [(header::RETRY_AFTER, HeaderValue::from(1))]);
    assert_eq!(spend(&other), Ok(()));
    assert_eq!(spend(ROOT), Ok(()));

    let unlimited = Keys::at_rate(0);
    let text = unlimited.add(key(None, &["admin"]));
    let caller = unlimited.check(&bearer(&text)).expect("a key");
    assert!((0..10_000).all(|_| caller.spend().is_ok()));
}

#[test]
fn a_change_that_is_told_counts_at_once_and_what_was_refused_is_counted() {
    let keys = Keys::new();
    let new = NewKey::random().expect("random bytes");
    let headers = bearer(new.text.expose_secret());
    assert!(keys.check(&headers).is_err());
    assert_eq!(
        keys.access.shared.refusals.take(Timestamp::from_secs(1), true),
        [],
        "nobody knows whose that was"
    );
    keys.put(&new, key(Some("acme"), &["events:write"]));
    let caller = keys.check(&headers).expect("a key");
    caller.require(&Scope::Admin).expect_err("no admin");
    caller.org(Some(&name("other"))).expect_err("another's");
    keys.put(
        &new,
        Key {
            revoked_at: Some(at(1)),
            revision: 2,
            ..key(Some("acme"), &["events:write"])
        },
    );
    for _ in 0..3 {
        assert!(keys.check(&headers).is_err());
    }
    let told: Vec<_> = keys
        .access
        .shared
        .refusals
        .take(Timestamp::from_secs(1), true)
        .into_iter()
        .map(|one| (one.why, one.count))
        .collect();
    assert_eq!(told, [(Why::Revoked, 3), (Why::MissingScope, 1), (Why::WrongOrg, 1)]);
}

#[tokio::test]
async fn before_all_keys_are_known_nobody_but_the_admin_key_is_judged() {
    let root = AdminKey::new("test", &SecretString::from(ROOT)).expect("a key");
    let access = Access::new(root, &Config { requests_per_second: 0 });
    let within = Duration::from_secs(5);
    assert!(access.admit(&bearer(ROOT), within).await.is_ok());
    let garbled = access.admit(&HeaderMap::new(), within).await.expect_err("no key");
    assert_eq!(garbled.code, "unauthenticated");
    let early = access.admit(&bearer("sbx_early"), Duration::ZERO).await;
    let early = early.expect_err("not known yet");
    assert_eq!((early.status.as_u16(), early.code), (503, "unavailable"));

    let new = NewKey::random().expect("random bytes");
    let headers = bearer(new.text.expose_secret());
    let (admitted, ()) = tokio::join!(access.admit(&headers, within), async {
        access.learn(Change::Key {
            hash: new.hash.clone(),
            key: Box::new(key(Some("acme"), &[])),
        });
        access.learn(Change::Complete);
    });
    assert!(admitted.is_ok());
    let late = access.admit(&bearer("sbx_late"), within).await.expect_err("unknown");
    assert_eq!(late.code, "bad_key");
}
