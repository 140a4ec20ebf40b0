use super::Config;

fn read(text: &str) -> Config {
    let document: toml::Table = toml::from_str(text).unwrap();
    document["recorder"].clone().try_into().unwrap()
}

#[test]
fn the_defaults_are_within_the_bounds() {
    read(crate::CONFIG_TOML).check().unwrap();
}

#[test]
fn a_setting_that_is_out_of_bounds_is_named() {
    for (name, change) in [
        ("recorder.lease", ("lease = \"5s\"", "lease = \"2s\"")),
        ("recorder.batch_max", ("batch_max = 4096", "batch_max = 0")),
        ("recorder.batch_wait", ("batch_wait = \"50ms\"", "batch_wait = \"11s\"")),
        ("recorder.retention", ("retention = \"90d\"", "retention = \"1h\"")),
        (
            "recorder.prune_pause",
            ("prune_pause = \"100ms\"", "prune_pause = \"1m\""),
        ),
    ] {
        let text = crate::CONFIG_TOML.replace(change.0, change.1);
        assert_ne!(text, crate::CONFIG_TOML, "{name}");
        let error = read(&text).check().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}
