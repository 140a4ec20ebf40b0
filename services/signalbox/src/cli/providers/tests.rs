use serde_json::json;

use super::*;

/// An answer of the API about a provider with one field of each sort.
fn answer() -> Value {
    json!({
        "name": "datadog", "type": "observability", "description": "Sends events and metrics",
        "docs_url": "https://docs.example.com/api", "actions": ["event", "metric"], "limits": { "per_minute": 60 },
        "config_schema": {
            "type": "object", "required": ["site"],
            "properties": {
                "action": {
                    "description": "What is sent.", "default": "event",
                    "oneOf": [{ "const": "event", "description": "An event." }, { "const": "metric" }],
                },
                "region": {
                    "description": "Where the account is.", "default": null,
                    "anyOf": [{ "enum": ["us", "eu"], "type": "string" }, { "type": "null" }],
                },
                "site": { "description": "Its site.", "type": "string", "examples": ["example.eu", "example.com"] },
                "tags": { "description": "Added to all.", "type": "array", "default": [], "items": { "type": "string" } },
            },
        },
        "credentials_schema": {
            "type": "object",
            "properties": {
                "api_key": { "description": "The key.", "type": "string", "x-secret": true },
                "basic": {
                    "description": "User and password.", "default": null,
                    "anyOf": [
                        { "type": "object", "required": ["password"], "properties": {
                            "password": { "description": "The password.", "type": "string", "x-secret": true } } },
                        { "type": "null" },
                    ],
                },
                "secrets": {
                    "description": "Old keys.", "type": "array", "default": [], "items": { "type": "string", "x-secret": true },
                },
            },
        },
    })
}

#[test]
fn one_is_shown_with_its_actions_its_documentation_and_all_of_its_fields() {
    let expected = "\
name     datadog
type     observability
what     Sends events and metrics
actions  event, metric
limit    60 requests a minute, unless rate_limit says otherwise
docs     https://docs.example.com/api

config.action
    What is sent.
    one of: event, metric
    default: event

config.region
    Where the account is.
    one of: us, eu

config.site (required)
    Its site.
    for example: example.eu, example.com

config.tags
    Added to all.

credentials.api_key (secret)
    The key.

credentials.basic
    User and password.

credentials.basic.password (required, secret)
    The password.

credentials.secrets (secret)
    Old keys.";
    assert_eq!(people(&answer()), expected);
}

#[test]
fn what_a_provider_does_not_have_is_not_shown() {
    let mut bare = answer();
    bare["actions"] = json!([]);
    bare["limits"] = json!({ "per_minute": null });
    let shown = people(&bare);
    let unlimited = shown
        .lines()
        .any(|line| line.starts_with("limit") && line.ends_with(" none"));
    assert!(!shown.contains("actions") && unlimited, "{shown}");
}

#[test]
fn all_are_a_table_with_their_actions() {
    let mut slack = answer();
    (slack["name"], slack["actions"]) = ("slack".into(), json!([]));
    let shown = table(&json!({ "items": [answer(), slack] }));
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(lines.len(), 3, "{shown}");
    let trimmed: Vec<&str> = lines[1].iter().map(|cell| cell.trim()).collect();
    assert_eq!(
        trimmed,
        ["datadog", "observability", "event, metric", "Sends events and metrics"]
    );
    let trimmed: Vec<&str> = lines[2].iter().map(|cell| cell.trim()).collect();
    assert_eq!(trimmed, ["slack", "observability", "Sends events and metrics"]);
}

/// What the program itself answers with, so that a new form of schemas is not shown as nothing.
#[test]
fn every_field_of_every_provider_is_shown() {
    for entry in signalbox_providers::registry() {
        let shown = people(&json!({
            "name": entry.name, "type": entry.kind, "description": entry.description, "docs_url": entry.docs_url,
            "actions": entry.actions, "limits": entry.limits, "config_schema": entry.config_schema(),
            "credentials_schema": entry.credentials_schema(),
        }));
        assert!(shown.contains(entry.docs_url), "{shown}");
        for (place, schema) in [
            ("config", entry.config_schema()),
            ("credentials", entry.credentials_schema()),
        ] {
            for name in schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name)
            {
                let head = format!("\n{place}.{name}");
                assert!(shown.contains(&head), "{}: {head} in\n{shown}", entry.name);
            }
        }
        for required in entry.credentials_schema()["required"].as_array().into_iter().flatten() {
            let head = format!("credentials.{} (required", required.as_str().expect("a name"));
            assert!(shown.contains(&head), "{head} in\n{shown}");
        }
    }
}

#[test]
fn a_long_description_is_shown_whole_in_short_lines() {
    let words: Vec<String> = (0..60).map(|number| format!("word{number}")).collect();
    let shown = wrapped(&words.join(" "), "    ");
    assert!(shown.lines().count() > 1, "{shown}");
    for line in shown.lines() {
        assert!(
            line.chars().count() <= LINE_CHARS_MAX && line.starts_with("    w"),
            "{line}"
        );
    }
    assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), words);
    let long = "x".repeat(2 * LINE_CHARS_MAX);
    assert_eq!(wrapped(&long, "").lines().count(), 1, "a word is never cut");
}
