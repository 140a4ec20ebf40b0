//! What lies where, and how long it may be.

use crate::tree;

/// Lines of the longest source.
const LINES_MAX: usize = 700;
/// A source above this is mentioned.
const LINES_MANY: usize = 600;

#[test]
fn a_service_explains_itself_and_lists_its_settings() {
    let mut missing = Vec::new();
    for service in tree::folders("services") {
        // The binary composes the settings of all others, and the README of the whole is its own.
        let files: &[&str] = match service.as_str() {
            "signalbox" => &["config.toml", "src/settings.rs"],
            _ => &["README.md", "config.toml", "src/config.rs"],
        };
        let paths = files.iter().map(|file| format!("services/{service}/{file}"));
        missing.extend(paths.filter(|path| !tree::root().join(path).is_file()));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_provider_has_a_folder_with_everything_about_it() {
    let registered: Vec<&str> = signalbox_providers::registry().iter().map(|entry| entry.name).collect();
    let mut missing = Vec::new();
    for provider in &registered {
        for part in [
            "README.md",
            "mod.rs",
            "conformance.rs",
            "ordinary.json",
            "tests.rs",
            "golden",
        ] {
            let path = format!("shared/providers/src/{provider}/{part}");
            if !tree::root().join(&path).exists() {
                missing.push(path);
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    for folder in tree::folders("shared/providers/src") {
        let is_provider = tree::root()
            .join(format!("shared/providers/src/{folder}/golden"))
            .is_dir();
        assert!(
            !is_provider || registered.contains(&folder.as_str()),
            "{folder} has no `Entry::of` in lib.rs"
        );
    }
    assert!(registered.is_sorted(), "the registry lists providers by name");
}

#[test]
fn a_source_can_be_read_in_one_sitting() {
    let mut long = Vec::new();
    for source in tree::sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            long.push(format!("{}: {lines} lines", source.path));
        } else if lines > LINES_MANY {
            eprintln!("{}: {lines} of {LINES_MAX} lines", source.path);
        }
    }
    assert!(long.is_empty(), "over {LINES_MAX} lines: {long:#?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<String> = tree::sources()
        .into_iter()
        .filter(|source| !source.is_test() && !source.text.is_empty())
        .filter(|source| !source.text.starts_with("//!") && !source.text.starts_with("#![doc"))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "these begin without `//!`: {silent:#?}");
}
