//! Who may import whom: one crate for each outside system, and services that meet only in `proto` and on the broker.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
    process::Command,
};

use serde::Deserialize;

use crate::tree;

/// Our crates, and which of our crates each may import, for its own tests too.
const OURS: [(&str, &[&str]); 15] = [
    ("signalbox-proto", &[]),
    ("signalbox-runtime", &[]),
    ("signalbox-broker", &[PROTO]),
    ("signalbox-access", &[PROTO, RUNTIME, BROKER]),
    ("signalbox-matching", &[PROTO]),
    ("signalbox-providers", &[PROTO]),
    // No role of the delivery path reaches it: there is no SQL between an event and its target.
    ("signalbox-store", &[PROTO]),
    // Ingest checks events against the schemas that the API takes in: the same compiler, with the same bounds.
    ("signalbox-ingest", &[PROTO, RUNTIME, BROKER, ACCESS, MATCHING]),
    ("signalbox-router", &[PROTO, RUNTIME, BROKER, MATCHING]),
    // The keeper asks a subscription too: a replay of events sends those that it selects. And it checks targets.
    ("signalbox-keeper", &[PROTO, RUNTIME, BROKER, MATCHING, PROVIDERS]),
    ("signalbox-delivery", &[PROTO, RUNTIME, BROKER, PROVIDERS]),
    ("signalbox-recorder", &[PROTO, RUNTIME, BROKER, STORE]),
    (
        "signalbox-api",
        &[PROTO, RUNTIME, BROKER, ACCESS, STORE, PROVIDERS, MATCHING],
    ),
    (BINARY, ANY),
    (TESTS, ANY),
];

const PROTO: &str = "signalbox-proto";
const RUNTIME: &str = "signalbox-runtime";
const BROKER: &str = "signalbox-broker";
const ACCESS: &str = "signalbox-access";
const MATCHING: &str = "signalbox-matching";
const PROVIDERS: &str = "signalbox-providers";
const STORE: &str = "signalbox-store";
const API: &str = "signalbox-api";
const BINARY: &str = "signalbox";
const TESTS: &str = "signalbox-tests";
const ANY: &[&str] = &["*"];

/// Crates of others that stand for an outside system or a decision, and who may name them besides `tests`.
const OTHERS: [(&str, &[&str]); 20] = [
    ("rmp-serde", &[PROTO]),
    ("config", &[RUNTIME]),
    ("opentelemetry", &[RUNTIME]),
    ("opentelemetry_sdk", &[RUNTIME]),
    // The binary measures the bare pipeline beside ours.
    ("async-nats", &[BROKER, BINARY]),
    ("cel", &[MATCHING]),
    ("regex", &[MATCHING]),
    ("chrono", &[MATCHING]),
    // Providers hold their requests to the vendors' schemas with it, in tests alone.
    ("jsonschema", &[MATCHING, PROVIDERS]),
    ("lettre", &[PROVIDERS]),
    // The binary is a client of our own API, and measures.
    ("reqwest", &[PROVIDERS, BINARY]),
    // The keys with which the provider `nats` proves itself.
    ("nkeys", &[PROVIDERS]),
    ("object_store", &[PROVIDERS]),
    ("clap", &[BINARY]),
    // Errors of a library have a meaning; only the program prints a chain and ends.
    ("anyhow", &[BINARY]),
    ("saphyr-parser", &[BINARY]),
    ("minijinja", &[PROVIDERS]),
    ("utoipa", &[API]),
    ("sqlx", &[STORE]),
    ("governor", &[ACCESS]),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["common", "core", "util", "utils", "helper", "helpers", "misc", "shared"];

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    /// Those for its tests and its build too.
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
}

impl Package {
    fn manifest(&self) -> toml::Table {
        toml::from_str(&tree::read(&self.manifest_path)).expect("TOML")
    }
}

fn packages() -> Vec<Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(tree::root().join("Cargo.toml"))
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("what cargo metadata prints");
    metadata.packages
}

#[test]
fn every_crate_of_the_workspace_has_its_row_in_the_table() {
    let members: BTreeSet<String> = packages().into_iter().map(|package| package.name).collect();
    let table: BTreeSet<String> = OURS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(members, table);
}

#[test]
fn our_crates_import_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = OURS.into_iter().collect();
    let mut wrong = Vec::new();
    for package in packages() {
        let allowed = table.get(package.name.as_str()).copied().unwrap_or_default();
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| table.contains_key(dependency.name.as_str()))
        {
            if allowed != ANY && !allowed.contains(&dependency.name.as_str()) {
                wrong.push(format!("{} imports {}", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_outside_system_is_named_by_one_crate() {
    let table: BTreeMap<&str, &[&str]> = OTHERS.into_iter().collect();
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| package.name.as_str() != TESTS) {
        for dependency in &package.dependencies {
            if let Some(allowed) = table.get(dependency.name.as_str())
                && !allowed.contains(&package.name.as_str())
            {
                wrong.push(format!(
                    "{} names {}, which is for {allowed:?}",
                    package.name, dependency.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn in_the_binary_only_the_bench_and_the_child_server_go_past_the_broker() {
    // The bench measures the bare pipeline; the child server is asked whether it is ready before anything else is.
    let allowed = ["bench/", "nats_server/", "nats_server.rs"].map(|part| format!("services/signalbox/src/{part}"));
    let wrong: Vec<String> = tree::sources()
        .into_iter()
        .filter(|source| source.path.starts_with("services/signalbox/") && source.text.contains("async_nats"))
        .map(|source| source.path)
        .filter(|path| !allowed.iter().any(|part| path.starts_with(part.as_str())))
        .collect();
    assert!(wrong.is_empty(), "signalbox-broker is for them: {wrong:#?}");
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace_and_none_is_unsafe() {
    let workspace: toml::Table = toml::from_str(&tree::read(&tree::root().join("Cargo.toml"))).expect("TOML");
    assert_eq!(
        workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(),
        Some("forbid")
    );
    for package in packages() {
        let manifest = package.manifest();
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{} wants `lints.workspace = true`", package.name);
    }
}

#[test]
fn versions_of_dependencies_stand_in_the_root_alone() {
    let mut wrong = Vec::new();
    for package in packages() {
        let manifest = package.manifest();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let dependencies = manifest
                .get(section)
                .and_then(toml::Value::as_table)
                .into_iter()
                .flatten();
            let own =
                dependencies.filter(|(_, given)| given.get("workspace").and_then(toml::Value::as_bool) != Some(true));
            wrong.extend(own.map(|(name, _)| format!("{}: {name}", package.name)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_crate_and_no_module_has_a_name_that_says_nothing() {
    let crates = packages().into_iter().map(|package| package.name);
    let modules = tree::sources().into_iter().flat_map(|source| {
        let path = source.path.trim_end_matches(".rs").to_owned();
        // What stands before `src` is the crate's folder.
        path.split_once("/src/")
            .map(|(_, inside)| inside.split('/').map(str::to_owned).collect())
            .unwrap_or(Vec::new())
    });
    let empty: BTreeSet<String> = crates
        .chain(modules)
        .filter(|name| EMPTY_NAMES.contains(&name.trim_start_matches("signalbox-")))
        .collect();
    assert!(empty.is_empty(), "a function lives with the noun it serves: {empty:?}");
}
