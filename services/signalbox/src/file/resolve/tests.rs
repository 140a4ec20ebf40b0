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
    replace(text, &variable, &file)
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
