use std::path::Path;

use super::{Address, Config, address};

fn config(url: &str, connections_max: u32) -> Config {
    Config {
        url: url.into(),
        url_file: String::new(),
        connections_max,
    }
}

#[test]
fn a_setting_names_its_database() {
    let data_dir = Path::new("/data dir");
    for (setting, expected) in [
        ("", "/data dir/signalbox.db"),
        ("sqlite:/else/where.db", "/else/where.db"),
        ("sqlite:///else/where.db", "/else/where.db"),
    ] {
        let Ok(Address::Sqlite(path)) = address(setting, data_dir) else {
            panic!("{setting}");
        };
        assert_eq!(path, Path::new(expected), "{setting}");
    }
    for setting in [
        "postgres://signalbox:pass@db/signalbox",
        "postgresql://db",
        "postgres://db/x?sslmode=require&options[statement_timeout]=5s",
        "postgres:///x?host=/run/postgresql",
    ] {
        let Ok(Address::Postgres(url)) = address(setting, data_dir) else {
            panic!("{setting}");
        };
        assert!(url.as_str().starts_with("postgres"), "{setting}");
    }
}

#[test]
fn what_names_none_is_refused_without_being_repeated() {
    for setting in [
        "mysql://root:secret@db/x",
        "secret",
        "postgres://u:12/secret@db/x",
        "postgres://u:12?secret@db/x",
        "postgres://u:12#secret@db/x",
        "postgres://u:secret/@db/x",
        "postgres://db/x?passwort=secret",
        "sqlite:",
        "sqlite::memory:",
    ] {
        let error = config(setting, 2).check().unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(
            told.contains("store.url") && !told.contains("secret"),
            "{setting}: {told}"
        );
    }
}

#[test]
fn connections_have_bounds() {
    for (connections, fits) in [(1, false), (2, true), (200, true), (201, false)] {
        assert_eq!(config("", connections).check().is_ok(), fits, "{connections}");
    }
}

#[test]
fn a_setting_is_not_printed() {
    let printed = format!("{:?}", config("postgres://u:secret@db/x", 2));
    assert!(!printed.contains("secret"), "{printed}");
}
