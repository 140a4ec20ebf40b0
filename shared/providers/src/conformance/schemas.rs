//! What a provider says of itself: its schemas draw forms, its README is its page.

use std::{fs, path::Path};

use serde_json::Value;

use super::all;
use crate::{Egress, registry};

/// What a README must speak of, each under a heading of its own.
const HEADINGS: [&str; 4] = [
    "What it sends",
    "Config and credentials",
    "What answers mean",
    "Sources",
];

fn fields_are_described(provider: &str, place: &str, schema: &Value) {
    let properties = schema["properties"].as_object();
    for (name, field) in properties.into_iter().flatten() {
        let place = format!("{place}/{name}");
        let described = field["description"].as_str().is_some_and(|text| text.len() > 5);
        assert!(described, "{provider}: {place} has no description");
        fields_are_described(provider, &place, field);
    }
}

#[test]
fn every_field_of_every_schema_is_described_and_no_other_is_taken() {
    for entry in registry() {
        for (place, schema) in [
            ("config", entry.config_schema()),
            ("credentials", entry.credentials_schema()),
        ] {
            assert_eq!(schema["type"], "object", "{}: {place}", entry.name);
            assert_eq!(schema["additionalProperties"], false, "{}: {place}", entry.name);
            fields_are_described(entry.name, place, schema);
        }
        assert!(entry.description.len() > 10, "{}", entry.name);
    }
}

#[test]
fn every_readme_says_what_arrives_how_to_set_it_up_and_what_answers_mean() {
    for entry in registry() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(entry.name)
            .join("README.md");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for heading in HEADINGS {
            assert!(
                text.lines().any(|line| line.starts_with('#') && line.contains(heading)),
                "{} has no heading {heading:?}",
                path.display()
            );
        }
    }
}

#[test]
fn every_provider_stands_in_the_table_of_the_documents_with_what_it_requires() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/integrations.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for entry in registry() {
        let name = entry.name;
        let begins = format!("| [`{name}`](../shared/providers/src/{name}/README.md) | ");
        let row = text.lines().find(|line| line.starts_with(&begins));
        let row = row.unwrap_or_else(|| panic!("{} has no row for {name}", path.display()));
        assert!(row.contains(&format!(" | {} | ", entry.kind.as_str())), "{row}");
        let required = row.rsplit(" | ").next().unwrap_or_default();
        for schema in [entry.config_schema(), entry.credentials_schema()] {
            for field in schema["required"].as_array().into_iter().flatten() {
                let field = field.as_str().expect("a name");
                assert!(
                    required.contains(&format!("`{field}`")),
                    "{name} requires {field}: {row}"
                );
            }
        }
    }
}

#[test]
fn what_is_wrong_with_a_config_is_told_without_its_secrets() {
    for case in all() {
        let allow: Egress = serde_json::from_value(serde_json::json!({ "allow": [] })).expect("no ranges");
        let entry = case.entry;
        let parts = [
            ("config", &case.sample.config),
            ("credentials", &case.sample.credentials),
        ];
        for (part, document) in parts {
            for (name, value) in document.as_object().into_iter().flatten() {
                // A value of another type, which carries the secret.
                let mut wrong = document.clone();
                wrong[name] = serde_json::json!({ "unknown-field": value });
                let (config, credentials) = match part {
                    "config" => (&wrong, &case.sample.credentials),
                    _ => (&case.sample.config, &wrong),
                };
                let Err(errors) = entry.check(config, credentials, &allow) else {
                    panic!("{}: a wrong {part}/{name} is taken", case.title());
                };
                let told = format!("{errors:?}");
                for secret in &case.sample.secrets {
                    assert!(!told.contains(secret), "{}: {told}", case.title());
                }
                assert!(
                    errors.iter().any(|error| error.pointer.contains(name.as_str())),
                    "{}: {told} does not name {part}/{name}",
                    case.title()
                );
            }
        }
        // What is masked holds none either.
        let masked = format!(
            "{} {}",
            entry.mask(&case.sample.config),
            entry.mask_credentials(&case.sample.credentials)
        );
        for secret in &case.sample.secrets {
            assert!(!masked.contains(secret), "{}: {masked}", case.title());
        }
    }
}
