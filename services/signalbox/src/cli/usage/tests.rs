use clap::Parser as _;

use super::{super::Cli, *};

fn wrong(line: &str) -> (Error, Vec<String>) {
    let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let error = Cli::try_parse_from(&arguments).expect_err("it is wrong");
    (error, arguments)
}

#[test]
fn a_negative_number_is_told_by_what_it_was_given_for() {
    for (line, name, value) in [
        ("signalbox resume --all --rate -5", "--rate", "-5"),
        ("signalbox trace e1 --since -5h", "--since", "-5h"),
        ("signalbox integrations list --limit -1", "--limit", "-1"),
        (
            "signalbox deliveries discard --integration a --older-than -1h",
            "--older-than",
            "-1h",
        ),
    ] {
        let (error, arguments) = wrong(line);
        let told = negative(&error, &arguments).unwrap_or_else(|| panic!("{line}: {error}"));
        assert!(told.starts_with(&format!("{name}: {value} is negative")), "{told}");
    }
    let (error, arguments) = wrong("signalbox publish a.b --dta {}");
    assert_eq!(negative(&error, &arguments), None);
}

#[test]
fn programs_read_what_is_wrong_as_a_document() {
    for (line, field, phrase) in [
        (
            "signalbox pubish a.b --output json",
            None,
            "similar subcommands exist: 'pause', 'publish'",
        ),
        (
            "signalbox --output json publish",
            Some("<TYPE>"),
            "were not provided: <TYPE>",
        ),
        (
            "signalbox publish a.b --org Acme --output=json",
            Some("--org"),
            "\"Acme\" is not a name",
        ),
        ("signalbox --output json", None, "a command is missing"),
    ] {
        let (error, arguments) = wrong(line);
        assert!(wants_json(&arguments), "{line}");
        let document = document(&error, None);
        assert_eq!(document["code"], "usage");
        assert_eq!(document["field"].as_str(), field, "{document}");
        let detail = document["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(phrase) && !detail.contains('\n'), "{document}");
    }
    assert!(!wants_json(&wrong("signalbox publish --output table").1));
}
