//! `config.toml` is the reference of a section: its keys are those of the section's struct, no more and no fewer.

use serde::de::DeserializeOwned;
use signalbox_runtime::Settings;

use crate::tree;

/// Reads a section from its defaults alone. Structs refuse keys that they do not know, and want those that they do.
fn load<T: DeserializeOwned>(defaults: &'static str, section: &str) -> T {
    let settings = Settings::load(&[("test", defaults)], None, std::iter::empty(), &[])
        .unwrap_or_else(|error| panic!("{section}: {error}"));
    settings
        .section(section)
        .unwrap_or_else(|error| panic!("{section}: {error}"))
}

#[test]
fn the_defaults_of_a_section_are_what_its_struct_reads() {
    load::<signalbox_broker::Config>(signalbox_broker::CONFIG_TOML, "nats");
    load::<signalbox_store::Config>(signalbox_store::CONFIG_TOML, "store")
        .check()
        .expect("defaults within bounds");
    load::<signalbox_access::Config>(signalbox_access::CONFIG_TOML, "auth")
        .check()
        .expect("defaults within bounds");
    load::<signalbox_ingest::Config>(signalbox_ingest::CONFIG_TOML, "ingest")
        .check()
        .expect("defaults within bounds");
    load::<signalbox_router::Config>(signalbox_router::CONFIG_TOML, "router")
        .check()
        .expect("defaults within bounds");
    load::<signalbox_delivery::Config>(signalbox_delivery::CONFIG_TOML, "delivery")
        .check()
        .expect("defaults within bounds");
    load::<signalbox_keeper::Config>(signalbox_keeper::CONFIG_TOML, "keeper")
        .check()
        .expect("defaults within bounds");
    load::<signalbox_api::Config>(signalbox_api::CONFIG_TOML, "api")
        .check()
        .expect("defaults within bounds");
}

#[test]
fn a_service_has_one_section_of_its_own_name_and_a_comment_for_each_setting() {
    for service in tree::folders("services")
        .into_iter()
        .filter(|service| service != "signalbox")
    {
        let path = tree::root().join(format!("services/{service}/config.toml"));
        let text = tree::read(&path);
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        assert_eq!(table.keys().collect::<Vec<_>>(), [&service], "{}", path.display());
        let mut above = "";
        for line in text.lines() {
            let is_setting = line.contains('=') && !line.starts_with('#');
            // A group of alike settings shares one comment.
            let is_explained = above.starts_with('#') || (above.contains('=') && !above.is_empty());
            assert!(!is_setting || is_explained, "{}: {line}", path.display());
            above = line;
        }
    }
}
