//! The guide as it is printed, where the checkout lies beside it: every block of it is taken as written.

use std::{collections::BTreeSet, fs};

use super::*;

/// From the root of the workspace.
const GUIDE: &str = "../../../shared/seeds/integrations-guide.md";
/// How many blocks of integrations it has.
const BLOCKS: usize = 14;

/// The YAML of the guide that is an example of a file, its indentation taken off.
fn examples() -> Option<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!(
            "SKIPPED: {} is not there, so the guide's own blocks are not read",
            path.display()
        );
        return None;
    };
    let mut examples = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(indent) = line.strip_suffix("```yaml") else {
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .map(|line| line.strip_prefix(indent).unwrap_or(line.trim_start()))
            .collect();
        examples.push(body.join("\n"));
    }
    // A fragment of a block, which is no file, is left.
    examples.retain(|example| example.starts_with("integrations:") || example.starts_with("notifications:"));
    Some(examples)
}

fn blocks() -> Option<Vec<String>> {
    let mut examples = examples()?;
    examples.retain(|example| example.starts_with("integrations:"));
    assert_eq!(examples.len(), BLOCKS);
    Some(examples)
}

/// One file with all that the examples hold.
fn merged(examples: &[String]) -> String {
    let mut text = "integrations:\n".to_owned();
    for example in examples {
        text.push_str(example.strip_prefix("integrations:\n").unwrap_or_default());
        text.push('\n');
    }
    for example in examples.iter().filter(|example| example.starts_with("notifications:")) {
        text.push_str(example);
    }
    text
}

/// The variables that went into the integrations of a file.
fn variables(file: &File) -> BTreeSet<String> {
    let names = file
        .integrations()
        .iter()
        .flat_map(|made| made.variables.values().flatten());
    names.cloned().collect()
}

#[test]
fn each_block_alone_is_taken_as_written() {
    let Some(blocks) = blocks() else { return };
    let mut names = Vec::new();
    for block in &blocks {
        let file = read(block);
        assert!(file.remarks().is_empty(), "{block}\n{:?}", file.remarks());
        for made in file.integrations() {
            assert!(
                made.value()["events"]
                    .as_array()
                    .is_some_and(|events| !events.is_empty())
            );
            names.push(made.name().to_owned());
        }
    }
    assert_eq!(
        names,
        [
            "slack",
            "teams",
            "discord",
            "email",
            "jira",
            "linear",
            "azure_devops",
            "github_projects",
            "pagerduty",
            "opsgenie",
            "datadog-events",
            "datadog-metrics",
            "new_relic",
            "sentry",
            "internal-system",
            "analytics",
        ]
    );
}

#[test]
fn all_merged_are_what_each_is_alone_and_the_limit_reaches_those_that_notify() {
    let Some(examples) = examples() else { return };
    assert_eq!(examples.len(), BLOCKS + 1, "with the limit");
    let file = read(&merged(&examples));
    let mut alone: Vec<Value> = Vec::new();
    for block in examples.iter().filter(|example| example.starts_with("integrations:")) {
        alone.extend(values(&read(block)).into_iter().cloned());
    }
    let limit = json!({ "per_hour": 30, "per_day": 100 });
    for value in &mut alone {
        let name = value["name"].as_str().expect("a name");
        if ["slack", "teams", "discord", "email", "pagerduty", "opsgenie"].contains(&name) {
            value["rate_limit"] = limit.clone();
        }
    }
    assert_eq!(values(&file), alone.iter().collect::<Vec<_>>());
}

#[test]
fn each_secret_that_is_missing_is_the_one_that_is_named() {
    let Some(examples) = examples() else { return };
    let mut examples = blocks().map_or(Vec::new(), |blocks| {
        let mut all = blocks.clone();
        all.push(merged(&examples));
        all
    });
    let mut seen = BTreeSet::new();
    for example in &mut examples {
        for missing in variables(&read(example)) {
            let error = read_without(&missing, example, false, LATER).expect_err(&missing);
            let told: Vec<&str> = VARIABLES.iter().copied().filter(|name| names(&error, name)).collect();
            assert_eq!(told, [missing.as_str()], "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            seen.insert(missing);
        }
    }
    // What the examples themselves give is not asked for.
    let given = ["AZURE_DEVOPS_ORG", "AZURE_DEVOPS_PROJECT", "JIRA_BASE_URL", "SMTP_HOST"];
    let expected: BTreeSet<String> = VARIABLES
        .iter()
        .filter(|name| !given.contains(name))
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(seen, expected);
}

/// Whether a message names a variable, and not one whose name only begins alike.
fn names(message: &str, variable: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    message
        .split(|character| !is_part(character))
        .any(|word| word == variable)
}

#[test]
fn in_this_version_every_block_is_taken_or_told_with_the_version_that_will_have_it() {
    let Some(examples) = examples() else { return };
    let text = merged(&examples);
    // Nothing but what a later version has can be wrong with it.
    let error = read_without("", &text, false, Version::THIS).err().unwrap_or_default();
    let is_there = |provider: &str| signalbox_providers::find(provider).is_some();
    let are_all_there = blocks::all().iter().all(|block| is_there(block.provider));
    assert_eq!(error.is_empty(), are_all_there, "{error}");
    for block in blocks::all() {
        let line = format!(
            "integrations.{}: the provider {} comes with version ",
            block.key, block.provider
        );
        assert_eq!(error.contains(&line), !is_there(block.provider), "{error}");
    }
    let file = read_without("", &text, true, Version::THIS).expect("the rest");
    assert!(file.integrations().iter().any(|made| made.name() == "analytics"));
}
