use super::*;

fn check(text: &str) -> Result<String, String> {
    let variable = |name: &str| (name == "TOKEN").then(|| "t${X}".to_owned());
    let file = |path: &str| {
        if path == "/run/secret" {
            Ok("s".to_owned())
        } else {
            Err(format!("cannot read {path}"))
        }
    };
    replace(text, &variable, &file).map_err(|reason| reason.to_string())
}

#[test]
fn references_are_replaced_once_and_anywhere_in_a_text() {
    assert_eq!(check("Bearer ${TOKEN}!").as_deref(), Ok("Bearer t${X}!"));
    assert_eq!(check("${file:/run/secret}${TOKEN}").as_deref(), Ok("st${X}"));
    assert_eq!(
        check("costs $5, {x} and $${TOKEN}").as_deref(),
        Ok("costs $5, {x} and ${TOKEN}")
    );
    assert_eq!(check("").as_deref(), Ok(""));
}

#[test]
fn what_is_missing_is_named() {
    for (text, part) in [
        ("${NOPE}", "the variable NOPE is not set"),
        ("${TOKEN", "without its `}`"),
        ("${not a name}", "no name of a variable"),
        ("${}", "no name of a variable"),
        ("${file:/nope}", "cannot read /nope"),
    ] {
        let error = check(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn what_texts_refer_to_is_known_before_it_is_resolved() {
    let mut value = serde_json::json!({"a": "Bearer ${TOKEN}${file:/x}", "b": ["$${NO}", "${X}"], "c": "${", "d": 1});
    let name = |text: &str| text.to_owned();
    assert_eq!(
        references(&mut value),
        [
            (name("/a"), vec![name("TOKEN"), name("file:/x")]),
            (name("/b/1"), vec![name("X")]),
        ]
    );
}
