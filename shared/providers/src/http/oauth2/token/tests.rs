use ::http::HeaderMap;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const OF: [u8; 16] = [7; 16];

fn token(secret: &str, life_secs: u64, spread: f64) -> Token {
    let granted = Granted {
        secret: secret.into(),
        life: Duration::from_secs(life_secs),
    };
    Token::of(&granted, NOW, spread).expect("a token")
}

#[test]
fn a_token_is_renewed_before_its_end() {
    for (life, spread, ages) in [
        (3_600, 0.0, 3_240),
        (3_600, 1.0, 3_060),
        (300, 0.0, 240),
        (300, 1.0, 210),
        (60, 0.0, 30),
        (10, 1.0, 5),
        (0, 0.0, 0),
    ] {
        let token = token("t", life, spread);
        let at = |secs: u64| NOW + Duration::from_secs(secs);
        assert!(token.is_aged(at(ages)), "{life} {spread}");
        assert!(ages == 0 || !token.is_aged(at(ages - 1)), "{life} {spread}");
        assert!(!token.is_usable(at(life)), "{life}");
        assert!(life == 0 || token.is_usable(at(life - 1)), "{life}");
    }
}

#[test]
fn what_a_vault_keeps_is_the_token_of_one_grant() {
    let kept = token("hush-4711", 300, 0.0).to_kept(&OF);
    assert!(!format!("{kept:?}").contains("hush"));
    let read = Token::from_kept(&kept, &OF, 0.0).expect("it is the same grant");
    assert!(read.is_same(&token("hush-4711", 300, 0.0)));
    assert_eq!(read.left(NOW), Duration::from_secs(300));
    assert!(Token::from_kept(&kept, &[8; 16], 0.0).is_none());
    assert!(Token::from_kept(&"{}".into(), &OF, 0.0).is_none());
}

#[test]
fn a_token_replaces_another_and_no_newer_one() {
    let old = token("old", 300, 0.0);
    let new = {
        let granted = Granted {
            secret: "new".into(),
            life: Duration::from_secs(300),
        };
        Token::of(&granted, NOW + Duration::from_secs(1), 0.0).expect("a token")
    };
    assert!(new.replaces(&old) && !old.replaces(&new) && !old.replaces(&old));
}

#[test]
fn an_answer_does_not_repeat_the_token() {
    let token = token("hush-hush-4711", 300, 0.0);
    let response = |body: &[u8]| Response {
        status: 200,
        headers: HeaderMap::from_iter([(
            ::http::header::LOCATION,
            HeaderValue::from_static("/x?t=hush-hush-4711"),
        )]),
        body: bytes::Bytes::copy_from_slice(body),
        truncated: false,
    };
    let out = token.taken_out_of(response(b"you sent Bearer hush-hush-4711"));
    assert_eq!(&*out.body, b"you sent Bearer ***");
    assert_eq!(out.headers["location"], "/x?t=***");
    let binary = token.taken_out_of(response(b"\xff\xfehush-hush-4711"));
    assert!(!binary.body.windows(4).any(|window| window == b"hush"));
    let innocent = token.taken_out_of(response(b"\xff\xfe\x00"));
    assert_eq!(&*innocent.body, b"\xff\xfe\x00");
}
