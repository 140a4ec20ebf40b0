//! A provider is its folder: nothing else that ships knows its name.
//!
//! Who adds one writes the folder, its lines in the registry and its worker in the compose file. A place that names a
//! provider besides would have to be found and changed too, so each one is listed here with its reason.

use std::{collections::BTreeSet, path::Path};

use crate::tree;

/// The table of providers: the line that adds one.
const REGISTRY: &str = "shared/providers/src/lib.rs";
/// The deployment on one machine, held to the table by `tests/compose`.
const COMPOSE: &str = "docker-compose.yml";
/// Words of the language too. They count where they stand for the provider alone: as a text, or as the module.
const WORDS: [&str; 5] = ["email", "linear", "nats", "prometheus", "webhook"];

/// Who may name a provider: the file or folder, the providers, and why.
const ALLOWED: &[(&str, &[&str], &str)] = &[
    // The other form of a file that `apply` takes is made of blocks with vendors' names: a contract, closed since 0.1.
    ("services/signalbox/src/file/guide", ANY, "the guide's own file form"),
    (
        "services/signalbox/src/file.rs",
        &["slack"],
        "a message shows the guide's form",
    ),
    (
        "services/signalbox/src/file/guide.rs",
        &["slack"],
        "its documentation shows the guide's form",
    ),
    // Examples in help and in the API's document: any provider would do.
    ("services/signalbox/src/cli/apply.rs", &["slack"], "an example in help"),
    ("services/signalbox/src/cli/stats.rs", &["slack"], "an example in help"),
    (
        "services/api/src/routes",
        &["webhook"],
        "examples in the API's document",
    ),
    (
        "services/api/src/schema",
        &["webhook"],
        "examples in the API's document",
    ),
    (
        "services/api/src/schema.rs",
        &["webhook"],
        "the type, which is not the provider",
    ),
    ("Makefile", &["slack"], "an example of live-test"),
    (
        "shared/providers/src/conformance/live.rs",
        &["slack"],
        "an example of live-test",
    ),
    // Programs that deliver something of their own choice.
    (
        "services/signalbox/src/demo",
        &["slack", "webhook"],
        "what the demo delivers to",
    ),
    (
        "services/signalbox/src/bench",
        &["webhook"],
        "what the scenarios deliver to",
    ),
    (
        "shared/store/src/history/deliveries.rs",
        &["slack"],
        "a value in statements whose plans are looked at",
    ),
    // Words that mean something else.
    ("scripts/python.txt", &["s3"], "the server that tests keep objects in"),
    (
        "shared/providers/src/discord/mod.rs",
        &["github", "slack"],
        "paths of Discord's addresses that are refused",
    ),
    (
        "shared/providers/src/github_projects",
        &["github"],
        "the vendor of both",
    ),
    (
        "shared/providers/src/prometheus/mod.rs",
        &["github"],
        "where its vendor's page is",
    ),
    (
        "shared/providers/src/opsgenie",
        &["jira"],
        "the name of the product that follows Opsgenie",
    ),
    (
        "shared/providers/src/tracker/life.rs",
        &["github"],
        "where a pull request of a test is",
    ),
    (
        "shared/providers/src/jira",
        &["email"],
        "the address of an account, which Jira asks for",
    ),
    (
        "shared/providers/src/linear",
        &["teams"],
        "those at Linear, which own issues",
    ),
    (
        "shared/providers/src/slack/mod.rs",
        &["webhook"],
        "one of Slack's two ways in",
    ),
    (
        "services/keeper/src/evidence.rs",
        &["slack"],
        "the room between two clocks",
    ),
    (
        "services/signalbox/src",
        &["nats"],
        "the section of the settings and the server's folder",
    ),
    (
        "shared/providers/src/provider.rs",
        &["webhook"],
        "the type, which is not the provider",
    ),
    (
        "shared/providers/src",
        &["nats", "webhook"],
        "the transport and the forms of machines",
    ),
    // What is known by name, and would better not be.
    (
        "shared/providers/src/conformance/bot_api.rs",
        &["telegram"],
        "how to read a vendor's schema: part of the suite",
    ),
    (
        "shared/providers/src/planned.rs",
        ANY,
        "other spellings, and what is to come",
    ),
    (
        "services/api/src/spec/health.rs",
        &["slack"],
        "the remedy where its webhook has no connection test",
    ),
];

/// Every provider.
const ANY: &[&str] = &["*"];

/// Whether a name stands in a text, apart from longer words.
fn names(text: &str, name: &str) -> bool {
    if WORDS.contains(&name) {
        return [
            format!("\"{name}\""),
            format!("signalbox_providers::{name}::"),
            format!("crate::{name}::"),
        ]
        .iter()
        .any(|whole| text.contains(whole.as_str()));
    }
    let lower = text.to_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    lower.match_indices(name).any(|(at, found)| {
        let (before, rest) = lower.split_at(at);
        let (_, after) = rest.split_at(found.len());
        !before.ends_with(is_word) && !after.starts_with(is_word)
    })
}

/// What is allowed for this path and this name, as places in the list.
fn allowances(path: &str, name: &str) -> impl Iterator<Item = usize> {
    let fits = move |(part, providers, _): &(&str, &[&str], &str)| {
        Path::new(path).starts_with(part) && (*providers == ANY || providers.contains(&name))
    };
    let found: Vec<usize> = ALLOWED
        .iter()
        .enumerate()
        .filter(|(_, row)| fits(row))
        .map(|(at, _)| at)
        .collect();
    found.into_iter()
}

#[test]
fn nothing_that_ships_names_a_provider_outside_of_its_folder() {
    let files: Vec<tree::Source> = tree::shipped()
        .into_iter()
        .filter(|file| ![REGISTRY, COMPOSE].contains(&file.path.as_str()))
        .collect();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for entry in signalbox_providers::registry() {
        let own = format!("shared/providers/src/{}/", entry.name);
        for file in files
            .iter()
            .filter(|file| !file.path.starts_with(&own) && names(&file.text, entry.name))
        {
            let allowed: Vec<usize> = allowances(&file.path, entry.name).collect();
            if allowed.is_empty() {
                wrong.push(format!("{} names {}", file.path, entry.name));
            }
            used.extend(allowed);
        }
    }
    assert!(
        wrong.is_empty(),
        "what is about a provider lies in its folder, and others ask the table: {wrong:#?}"
    );
    let unused: Vec<&str> = (0..ALLOWED.len())
        .filter(|at| !used.contains(at))
        .map(|at| ALLOWED[at].0)
        .collect();
    assert!(
        unused.is_empty(),
        "these name no provider any more: take them out of the list: {unused:#?}"
    );
}

#[test]
fn the_registry_names_each_provider_in_two_lines() {
    let registry = tree::read(&tree::root().join(REGISTRY));
    for entry in signalbox_providers::registry() {
        let lines: Vec<&str> = registry.lines().filter(|line| names_module(line, entry.name)).collect();
        let [module, row] = lines.as_slice() else {
            panic!(
                "{REGISTRY} names {} in {} lines, and not in two: {lines:?}",
                entry.name,
                lines.len()
            );
        };
        assert_eq!(*module, format!("pub mod {};", entry.name));
        assert!(
            row.starts_with(&format!("        Entry::of::<{}::", entry.name)),
            "{row}"
        );
    }
}

/// Whether a line declares the module of a provider or takes something from it.
fn names_module(line: &str, name: &str) -> bool {
    line.contains(&format!("mod {name};")) || line.contains(&format!("<{name}::"))
}
