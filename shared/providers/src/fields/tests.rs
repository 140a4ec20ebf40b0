use super::*;

#[test]
fn an_address_that_cannot_be_requested_is_refused_without_being_repeated() {
    for wrong in [
        "nonsense-s3cret",
        "https://user:s3cret@example.com/",
        &format!("https://example.com/{}", "s3cret".repeat(400)),
    ] {
        let error = url("config/url", wrong).expect_err(wrong);
        assert_eq!(error.pointer, "config/url");
        assert!(!error.message.contains("s3cret"), "{error}");
    }
    let taken = url("config/url", " https://example.com/a?b=c#d ").expect("it can be requested");
    assert_eq!(taken.as_str(), "https://example.com/a?b=c");
}

#[test]
fn a_part_of_a_path_stays_one_part() {
    let base = url("config/url", "https://example.com/base/?x=1").expect("it can be requested");
    assert_eq!(
        below(&base, &["a/b", "c d"]).as_str(),
        "https://example.com/base/a%2Fb/c%20d"
    );
}

#[test]
fn all_that_is_wrong_with_a_list_is_said() {
    let texts = ["fine".to_owned(), " ".to_owned(), "a\nb".to_owned(), "x".repeat(9)];
    let wrong = lines("config/tags", &texts, 10, 8).expect_err("three are wrong");
    let pointers: Vec<&str> = wrong.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["config/tags/1", "config/tags/2", "config/tags/3"]);
    assert_eq!(lines("config/tags", &texts, 3, 8).expect_err("too many").len(), 1);
}

#[test]
fn a_key_is_trimmed_and_never_printed() {
    let value = key("credentials/api_key", &" abc\n".into()).expect("a header carries it");
    assert_eq!((value.as_bytes(), value.is_sensitive()), (&b"abc"[..], true));
    assert!(key("credentials/api_key", &" ".into()).is_err());
    assert!(key("credentials/api_key", &"a\u{7}b".into()).is_err());
}
