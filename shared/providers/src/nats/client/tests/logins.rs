//! Who is let in, and what he may do there.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::Value;

use super::*;

async fn sent(server: &Server, login: Login, publish: Option<Publish>) -> Result<Response, Error> {
    client().send(&request(&server.url(), login, publish), LONG).await
}

fn shown(error: &Error) -> String {
    format!("{error} {error:?} {:?}", by_error(error))
}

#[tokio::test]
async fn a_wrong_password_suspends_and_nothing_printed_holds_it() {
    let server = Server::start(r#"authorization { user: signalbox, password: "hush-right" }"#).await;
    sent(&server, user("signalbox", "hush-right"), None)
        .await
        .expect("the right one");
    for login in [
        user("signalbox", "hush-wrong"),
        user("hush-nobody", "hush-right"),
        Login::Token(Secret::from("hush-token")),
        Login::Anonymous,
    ] {
        let asked = request(&server.url(), login, Some(message("d-1", "{}")));
        let error = client().send(&asked, LONG).await.expect_err("he is not let in");
        assert!(matches!(error, Error::Login), "{error:?}");
        assert_eq!(by_error(&error).kind(), OutcomeKind::Suspend);
        let all = format!("{} {asked:?}", shown(&error));
        assert!(!all.contains("hush"), "{all}");
    }
}

#[tokio::test]
async fn a_token_and_a_key_let_in_and_others_do_not() {
    let server = Server::start(r#"authorization { token: "hush-token" }"#).await;
    sent(&server, Login::Token(Secret::from("hush-token")), None)
        .await
        .expect("the token");
    let error = sent(&server, Login::Token(Secret::from("hush-other")), None).await;
    assert!(matches!(error, Err(Error::Login)), "{error:?}");

    let key = KeyPair::new_user();
    let config = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key());
    let server = Server::start(&config).await;
    sent(&server, Login::Nkey(key), None).await.expect("the key");
    let error = sent(&server, Login::Nkey(KeyPair::new_user()), None).await;
    assert!(matches!(error, Err(Error::Login)), "{error:?}");
}

/// A JWT as `nsc` makes them.
fn jwt(claims: &Value, issuer: &KeyPair) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let text = format!("{head}.{}", part(claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).expect("a signature"));
    format!("{text}.{signature}")
}

#[tokio::test]
async fn a_users_jwt_lets_in_with_its_key_alone_and_until_it_expires() {
    let (operator, account, key) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let claims = |subject: &KeyPair, issuer: &KeyPair, name: &str, nats: Value| {
        json!({
            "jti": name, "iat": 1_767_225_600, "iss": issuer.public_key(), "sub": subject.public_key(), "name": name,
            "nats": nats,
        })
    };
    let unlimited = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let of_operator = jwt(
        &claims(&operator, &operator, "op", json!({ "type": "operator", "version": 2 })),
        &operator,
    );
    let of_account = jwt(
        &claims(
            &account,
            &operator,
            "acc",
            json!({ "type": "account", "version": 2, "limits": unlimited }),
        ),
        &operator,
    );
    let user = |name: &str, expires: Option<i64>| {
        let nats = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let mut claims = claims(&key, &account, name, nats);
        if let Some(expires) = expires {
            claims["exp"] = expires.into();
        }
        Secret::from(jwt(&claims, &account).as_str())
    };
    let port_config = format!(
        "operator: {of_operator}\nresolver: MEMORY\nsystem_account: {0}\nresolver_preload: {{ {0}: {of_account} }}",
        account.public_key()
    );
    let server = Server::start(&port_config).await;
    let with = |jwt: Secret, key: &KeyPair| Login::Jwt {
        jwt,
        key: KeyPair::from_seed(&key.seed().expect("a seed")).expect("a key"),
    };
    sent(&server, with(user("good", None), &key), None)
        .await
        .expect("it is let in");
    for (what, login) in [
        ("another key", with(user("good", None), &KeyPair::new_user())),
        ("expired", with(user("old", Some(1_767_225_601)), &key)),
    ] {
        let error = sent(&server, login, None).await.expect_err(what);
        assert!(matches!(error, Error::Login), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn what_the_credentials_do_not_allow_is_named_and_stored_nowhere() {
    let server = Server::start(
        r#"authorization { users: [
            { user: admin, password: p }
            { user: narrow, password: p, permissions: { publish: ["other.>"], subscribe: ["_INBOX.>"] } }
            { user: deaf, password: p, permissions: { publish: ["events.>"], subscribe: ["none"] } }
            { user: right, password: p, permissions: { publish: ["events.>"], subscribe: ["_INBOX.>"] } }
        ] }"#,
    )
    .await;
    let mut other = Other::connect(&server, r#"{"user":"admin","pass":"p"}"#).await;
    other.make_stream(&["events.>"], &json!({})).await;
    for publish in [message("d-1", "{}"), core("d-1", "{}")] {
        let error = sent(&server, user("narrow", "p"), Some(publish))
            .await
            .expect_err("it is not allowed");
        assert!(
            matches!(&error, Error::Forbidden { subject } if subject == SUBJECT),
            "{error:?}"
        );
        assert_eq!(by_error(&error).kind(), OutcomeKind::Suspend);
    }
    let error = sent(&server, user("deaf", "p"), Some(message("d-1", "{}")))
        .await
        .expect_err("no inbox");
    assert!(matches!(error, Error::ForbiddenInbox), "{error:?}");
    assert_eq!(by_error(&error).kind(), OutcomeKind::Suspend);
    assert_eq!(other.stored().await, 0);
    sent(&server, user("deaf", "p"), Some(core("d-1", "{}")))
        .await
        .expect("it needs no inbox");
    sent(&server, user("right", "p"), Some(message("d-2", "{}")))
        .await
        .expect("no right is missing");
    assert_eq!(other.stored().await, 2);
}

#[tokio::test]
async fn two_logins_at_one_server_share_no_connection() {
    let server = Server::start(
        r#"authorization { users: [
            { user: a, password: p, permissions: { publish: ["events.>"], subscribe: ["_INBOX.>"] } }
            { user: b, password: p, permissions: { publish: ["other.>"], subscribe: ["_INBOX.>"] } }
        ] }"#,
    )
    .await;
    let client = client();
    let send = async |name: &str| {
        let request = request(&server.url(), user(name, "p"), Some(core("d-1", "{}")));
        client.send(&request, LONG).await
    };
    send("a").await.expect("its own subject");
    let error = send("b").await;
    assert!(matches!(error, Err(Error::Forbidden { .. })), "{error:?}");
    assert_eq!(idle(&client), 1);
}
