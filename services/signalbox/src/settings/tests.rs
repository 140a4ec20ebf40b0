use signalbox_runtime::Settings;

use super::*;

fn settings(variables: &[(&str, &str)]) -> anyhow::Result<Loaded> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Loaded::new(&Settings::load(&DEFAULTS, None, variables, &[])?)
}

#[test]
fn the_defaults_of_every_crate_are_what_it_reads() {
    let loaded = settings(&[]).expect("defaults");
    assert_eq!(loaded.nats.url, "nats://127.0.0.1:4222");
    assert_eq!(loaded.server.durability, Durability::Process);
    assert_eq!(loaded.server.server_path, None);
    assert!(loaded.egress.allow.is_empty());
}

#[test]
fn the_environment_overrides_both_halves_of_the_section_nats() {
    let loaded = settings(&[
        ("SIGNALBOX_NATS__DURABILITY", "disk"),
        ("SIGNALBOX_NATS__URL", "nats://a:1,nats://b:2"),
        ("SIGNALBOX_EGRESS__ALLOW", "127.0.0.0/8,10.0.0.1"),
    ])
    .expect("settings");
    assert_eq!(loaded.server.durability, Durability::Disk);
    assert_eq!(loaded.nats.url, "nats://a:1,nats://b:2");
    assert_eq!(loaded.egress.allow.len(), 2);
}

#[test]
fn a_wrong_value_is_named() {
    for (variable, value, part) in [
        (
            "SIGNALBOX_NATS__DURABILITY",
            "ram",
            "nats.durability: \"ram\" is neither process nor disk (from SIGNALBOX_NATS__DURABILITY)",
        ),
        ("SIGNALBOX_NATS__REPLICAS", "2", "nats.replicas: 2 is not"),
        ("SIGNALBOX_NATS__PARTITIONS", "-1", "(from SIGNALBOX_NATS__PARTITIONS)"),
        ("SIGNALBOX_NATS__URL", "nats://a:port", "nats.url"),
        ("SIGNALBOX_INGEST__IN_FLIGHT_MAX", "0", "ingest.in_flight_max"),
        ("SIGNALBOX_NATS__URLS", "x", "nats.urls"),
    ] {
        let error = settings(&[(variable, value)])
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default();
        assert!(error.contains(part), "{variable}: {error}");
    }
}

#[test]
fn keys_are_made_once_and_then_kept() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let loaded = settings(&[]).expect("defaults");
    assert!(loaded.admin_key(data_dir.path(), false).is_err());
    assert!(loaded.keyring(data_dir.path(), false).is_err());
    let first = loaded.admin_key(data_dir.path(), true).expect("a key");
    let second = loaded.admin_key(data_dir.path(), true).expect("a key");
    assert!(first.is_new && !second.is_new);
    assert_eq!(first.text.expose_secret(), second.text.expose_secret());
    let ring = loaded.keyring(data_dir.path(), true).expect("keys");
    assert_eq!(
        ring.primary_id(),
        loaded.keyring(data_dir.path(), false).expect("keys").primary_id()
    );
}

#[test]
fn the_page_of_all_settings_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = reference();
    if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder of the docs");
        std::fs::write(&path, &page).expect("the page");
    }
    let written = std::fs::read_to_string(&path).expect("docs/configuration.md is there");
    assert_eq!(
        written, page,
        "make it again: signalbox config --reference > docs/configuration.md"
    );
}
