use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Secret;

fn redactor(secrets: &[&str]) -> Redactor {
    let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    Redactor::of(&secrets)
}

#[test]
fn a_text_without_secrets_is_left_as_it_is() {
    let text = redactor(&["hush-hush"]).text("answered 200: ok").into_owned();
    assert_eq!(text, "answered 200: ok");
    assert!(matches!(redactor(&["hush-hush"]).text("hush"), Cow::Borrowed("hush")));
}

#[test]
fn a_secret_is_found_in_base64_wherever_it_stands() {
    let secret = "hush-hush+token/1234";
    let redactor = redactor(&[secret]);
    for text in ["", "a", "ab", "abc", "Bearer "] {
        for behind in ["", "z", "zz", ": and more"] {
            let said = format!("{text}{secret}{behind}");
            for encoded in [STANDARD.encode(&said), URL_SAFE_NO_PAD.encode(&said)] {
                let shown = redactor.text(&encoded).into_owned();
                assert!(shown.contains(MASK), "{said} as {encoded}: {shown}");
                // What is left beside the mask are letters of what stood beside the secret, and at most one more.
                let least = STANDARD_NO_PAD.encode(secret).len() - 3;
                assert!(
                    encoded.len() - (shown.len() - MASK.len()) >= least,
                    "{said} as {encoded}: {shown}"
                );
            }
        }
    }
    let escaped = redactor.text("hush-hush%2btoken%2f1234").into_owned();
    assert!(!escaped.contains("token"), "{escaped}");
}

#[test]
fn user_and_password_of_an_address_that_is_a_secret_are_found_alone() {
    let redactor = redactor(&["https://0f1e2d3c4b5a:s3cret-part@o1.ingest.example.com/42"]);
    for said in ["no project for key 0f1e2d3c4b5a", "bad s3cret-part", "key 0f1e2d3c…"] {
        let shown = redactor.text(said).into_owned();
        assert!(
            shown.contains(MASK) && !shown.contains("0f1e2d") && !shown.contains("s3cret"),
            "{shown}"
        );
    }
    assert_eq!(redactor.text("o1.ingest.example.com"), "o1.ingest.example.com");
}

#[test]
fn an_address_that_is_a_secret_is_found_by_its_path_its_query_and_their_long_parts() {
    let redactor = redactor(&["https://example.com/hooks/T0123456789abcdef?key=0123456789abcdefgh"]);
    for said in [
        "answered 301 and pointed to /hooks/T0123456789abcdef/",
        "pointed to https://www.example.com/hooks/T0123456789abcdef",
        "no such hook: T0123456789abcdef",
        "bad key 0123456789abcdefgh",
        "see /login?next=%2Fhooks%2FT0123456789abcdef",
    ] {
        let shown = redactor.text(said);
        assert!(
            shown.contains(MASK) && !shown.contains("T01234") && !shown.contains("012345"),
            "{shown}"
        );
    }
    for said in [
        "example.com is down",
        "cannot connect to https://example.com",
        "see https://example.com/…",
    ] {
        assert_eq!(redactor.text(said), said);
    }
}

#[test]
fn what_http_basic_makes_of_a_password_is_a_secret_too() {
    let auth = Auth::basic("ada", &Secret::from("hush")).expect("a header");
    let redactor = Redactor::with_auth(&[], &auth);
    assert_eq!(redactor.text("you sent Basic YWRhOmh1c2g="), "you sent Basic ***");
}

#[test]
fn an_outcome_loses_them_from_its_reason() {
    let outcome = Outcome::Suspend {
        reason: "no hush-hush".to_owned(),
        at_once: true,
    };
    assert_eq!(
        redactor(&["hush-hush"]).outcome(outcome),
        Outcome::Suspend {
            reason: "no ***".to_owned(),
            at_once: true
        }
    );
}

#[test]
fn a_document_loses_them_in_names_and_values() {
    let document = json!({ "a": ["x 123456 y", 1, null], "123456": { "b": "123456" }, "n": 123_456 });
    assert_eq!(
        redactor(&["123456"]).document(&document),
        json!({ "a": ["x *** y", 1, null], "***": { "b": "***" }, "n": 123_456 })
    );
}

#[test]
fn it_prints_none_of_them() {
    let printed = format!("{:?}", redactor(&["hush-hush"]));
    assert!(
        printed.starts_with("Redactor(") && !printed.contains("hush"),
        "{printed}"
    );
}

proptest! {
    #[test]
    fn a_text_that_was_cut_in_a_secret_keeps_no_part_of_it(
        secret in "[a-zé-]{8,40}", before in "[A-Z ]{0,12}", cut in 6_usize..40, marked in any::<bool>()
    ) {
        let cut = cut.min(secret.chars().count());
        let part: String = secret.chars().take(cut).collect();
        let end = if marked { "…" } else { "" };
        let shown = redactor(&[&secret]).text(&format!("{before}{part}{end}")).into_owned();
        prop_assert_eq!(shown, format!("{before}{MASK}{end}"));
    }
}

#[test]
fn what_a_token_is_asked_for_with_is_found_as_http_basic_writes_it() {
    let credentials: crate::http::oauth2::ClientCredentials = serde_json::from_value(json!({
        "token_url": "https://login.example.com/token", "client_id": "ada", "client_secret": "hush",
    }))
    .expect("credentials");
    let grant = credentials.read("credentials/oauth2").expect("they are right");
    let redactor = Redactor::with_auth(&[], &Auth::OAuth2(grant.into()));
    assert_eq!(redactor.text("you sent YWRhOmh1c2g="), "you sent ***");
}
