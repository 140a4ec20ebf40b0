use serde_json::json;

use super::*;

fn shown(text: &str) -> Result<String, String> {
    mailbox("p", text)
        .map(|mailbox| mailbox.to_string())
        .map_err(|error| error.message)
}

fn by_type(value: serde_json::Value) -> BTreeMap<String, Vec<String>> {
    serde_json::from_value(value).expect("lists by type")
}

#[test]
fn addresses_are_taken_with_and_without_a_name() {
    for (written, expected) in [
        ("ops@example.com", "ops@example.com"),
        (" ops@example.com ", "ops@example.com"),
        ("<ops@example.com>", "ops@example.com"),
        ("Ops <ops@example.com>", "Ops <ops@example.com>"),
        (
            "\"Ops, night\" <ops+1@example.com>",
            "\"Ops, night\" <ops+1@example.com>",
        ),
        ("ops@bücher.example", "ops@xn--bcher-kva.example"),
        ("ops@Example.COM.", "ops@example.com"),
        ("root@localhost", "root@localhost"),
        ("o'brien@example.com", "o'brien@example.com"),
    ] {
        assert_eq!(shown(written), Ok(expected.to_owned()), "{written}");
    }
}

#[test]
fn what_is_no_address_is_refused_without_being_repeated() {
    let long = format!("{}@example.com", "a".repeat(65));
    let longer = format!("a@{}.com", "b".repeat(250));
    for wrong in [
        "",
        "ops",
        "@example.com",
        "ops@",
        "a@b@example.com",
        "ops@example.com, evil@example.com",
        "ops@example.com> SIZE=1",
        "ops@example.com\r\nBcc: evil@example.com",
        "Ops\nBcc: evil@example.com <ops@example.com>",
        "ops example@example.com",
        "\"ops evil\"@example.com",
        "ops..x@example.com",
        "õps@example.com",
        "ops@[127.0.0.1]",
        "ops@127.0.0.1",
        "ops@exa mple.com",
        long.as_str(),
        longer.as_str(),
    ] {
        let message = shown(wrong).expect_err(wrong);
        assert!(
            !message.contains("evil") && !message.contains("127"),
            "{wrong}: {message}"
        );
    }
}

#[test]
fn an_address_that_stands_twice_is_one() {
    let all = vec!["ann@example.com".to_owned()];
    let lists = by_type(json!({
        "alert.*": ["ann@example.com", "bob@example.com"], "pr.created": ["Bob <bob@example.com>"],
    }));
    let read = super::read(&all, &lists).expect("recipients");
    let shown: Vec<(&str, &str)> = read
        .iter()
        .map(|one| (one.mailbox.email.as_ref(), one.pointer.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("ann@example.com", "config/to_addresses/0"),
            ("bob@example.com", "config/recipients/alert.*/1")
        ]
    );
    assert!(matches!(read[0].wants, Wants::All));
    assert!(matches!(&read[1].wants, Wants::Types(patterns) if patterns.len() == 2));
}

#[test]
fn all_that_is_wrong_is_said_with_its_field() {
    let lists = by_type(json!({ "a.>.b": ["x"], "alert.*": [], "pr.created": ["ann@example.com", "y"] }));
    let errors = super::read(&["z".to_owned()], &lists).expect_err("wrong");
    let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "config/to_addresses/0",
            "config/recipients/a.>.b",
            "config/recipients/a.>.b/0",
            "config/recipients/alert.*",
            "config/recipients/pr.created/1",
        ]
    );
    let none = super::read(&[], &BTreeMap::new()).expect_err("nobody");
    assert_eq!(none[0].pointer, "config/to_addresses");
    let many: Vec<String> = (0..=RECIPIENTS_MAX).map(|n| format!("a{n}@example.com")).collect();
    assert_eq!(
        super::read(&many, &BTreeMap::new()).expect_err("many")[0].pointer,
        "config/to_addresses"
    );
    assert!(super::read(&many[1..], &BTreeMap::new()).is_ok());
}
