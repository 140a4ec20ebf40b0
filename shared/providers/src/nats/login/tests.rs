use nkeys::KeyPairType;

use super::*;
use crate::nats::{conformance::SEED, server};

const NOTHING: Given<'static> = Given {
    user: None,
    password: None,
    token: None,
    nkey: None,
    creds: None,
};

fn creds() -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\nabc.def.ghi\n------END NATS USER JWT------\n\n************ IMPORTANT ************\n\
         NKEY Seed printed below\n\n-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
    )
}

fn pointers(given: &Given<'_>, anonymous: bool) -> Vec<String> {
    let errors = given.login(anonymous).err().unwrap_or_default();
    let told = format!("{errors:?}");
    assert!(!told.contains("hush") && !told.contains(SEED), "{told}");
    errors.into_iter().map(|error| error.pointer).collect()
}

#[test]
fn each_way_is_read_and_printed_without_its_secret() {
    let (password, token, seed) = (Secret::from(" hush \n"), Secret::from("hush"), Secret::from(SEED));
    let creds = Secret::from(creds().replace('\n', "\r\n").as_str());
    for (given, anonymous, expected) in [
        (NOTHING, true, "Anonymous"),
        (
            Given {
                user: Some("signalbox"),
                password: Some(&password),
                ..NOTHING
            },
            false,
            "User",
        ),
        (
            Given {
                token: Some(&token),
                ..NOTHING
            },
            false,
            "Token",
        ),
        (
            Given {
                nkey: Some(&seed),
                ..NOTHING
            },
            false,
            "Nkey",
        ),
        (
            Given {
                creds: Some(&creds),
                ..NOTHING
            },
            false,
            "Jwt",
        ),
    ] {
        let login = given.login(anonymous).expect(expected);
        assert_eq!(format!("{login:?}"), expected);
        match &login {
            Login::User { password, .. } => assert_eq!(password.expose(), "hush"),
            Login::Jwt { jwt, key } => {
                assert_eq!(jwt.expose(), "abc.def.ghi");
                assert_eq!(key.seed().expect("a seed"), SEED);
            }
            Login::Anonymous | Login::Token(_) | Login::Nkey(_) => {}
        }
    }
}

#[test]
fn credentials_are_asked_for_unless_a_server_is_said_to_ask_for_none() {
    assert_eq!(pointers(&NOTHING, false), ["credentials"]);
    let token = Secret::from("hush");
    assert_eq!(
        pointers(
            &Given {
                token: Some(&token),
                ..NOTHING
            },
            true
        ),
        ["config/anonymous"]
    );
}

#[test]
fn what_does_not_fit_together_is_refused_by_name() {
    let (hush, empty, seed) = (Secret::from("hush"), Secret::from(" "), Secret::from(SEED));
    let account = KeyPair::new_from_raw(KeyPairType::Account, [7; 32])
        .expect("a key")
        .seed()
        .expect("a seed");
    let account = Secret::from(account.as_str());
    let long = Secret::from("x".repeat(CREDENTIAL_BYTES_MAX + 1).as_str());
    let no_seed = Secret::from("-----BEGIN NATS USER JWT-----\nabc.def.ghi\n------END NATS USER JWT------\n");
    let no_jwt = Secret::from(creds().replace("abc.def.ghi", "hush").as_str());
    for (given, expected) in [
        (
            Given {
                user: Some("a"),
                ..NOTHING
            },
            "credentials/password",
        ),
        (
            Given {
                password: Some(&hush),
                ..NOTHING
            },
            "credentials/user",
        ),
        (
            Given {
                user: Some(" "),
                password: Some(&hush),
                ..NOTHING
            },
            "credentials/user",
        ),
        (
            Given {
                user: Some("a"),
                password: Some(&empty),
                ..NOTHING
            },
            "credentials/password",
        ),
        (
            Given {
                token: Some(&empty),
                ..NOTHING
            },
            "credentials/token",
        ),
        (
            Given {
                token: Some(&long),
                ..NOTHING
            },
            "credentials/token",
        ),
        (
            Given {
                nkey: Some(&hush),
                ..NOTHING
            },
            "credentials/nkey",
        ),
        (
            Given {
                nkey: Some(&account),
                ..NOTHING
            },
            "credentials/nkey",
        ),
        (
            Given {
                creds: Some(&hush),
                ..NOTHING
            },
            "credentials/creds",
        ),
        (
            Given {
                creds: Some(&no_seed),
                ..NOTHING
            },
            "credentials/creds",
        ),
        (
            Given {
                creds: Some(&no_jwt),
                ..NOTHING
            },
            "credentials/creds",
        ),
        (
            Given {
                token: Some(&hush),
                nkey: Some(&seed),
                ..NOTHING
            },
            "credentials/nkey",
        ),
        (
            Given {
                user: Some("a"),
                password: Some(&hush),
                token: Some(&hush),
                ..NOTHING
            },
            "credentials/token",
        ),
    ] {
        assert_eq!(pointers(&given, false), [expected]);
    }
}

#[test]
fn connections_are_shared_by_the_same_login_at_the_same_servers_alone() {
    let servers = |text| server::read("config/url", text).expect("servers");
    let user = |user: &str, password: &str| Login::User {
        user: user.to_owned(),
        password: Secret::from(password),
    };
    let a = servers("tls://a.example");
    let same = [
        Identity::of(&a, user("ann", "hush")),
        Identity::of(&servers("tls://a.example:4222/"), user("ann", "hush")),
    ];
    assert_eq!(same[0].key(), same[1].key());
    let different = [
        Identity::of(&a, user("ann", "hush")),
        Identity::of(&a, user("ann", "hush2")),
        Identity::of(&a, user("annhush", "")),
        Identity::of(&a, Login::Token(Secret::from("hush"))),
        Identity::of(&a, Login::Anonymous),
        Identity::of(&servers("nats://a.example"), user("ann", "hush")),
        Identity::of(&servers("tls://a.example,tls://b.example"), user("ann", "hush")),
    ];
    let keys: std::collections::BTreeSet<_> = different.iter().map(|identity| *identity.key()).collect();
    assert_eq!(keys.len(), different.len());
    assert_eq!(format!("{:?}", different[0]), "User");
}
