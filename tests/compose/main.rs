//! docker-compose.yml runs what the binary knows: every role, no other, with settings that exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use saphyr::{LoadableYamlNode, Yaml};

/// Flags of `signalbox run` that take a value.
const FLAGS: [&str; 3] = ["--listen", "--admin-listen", "--provider"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies in the workspace")
        .to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn folders(inside: &str) -> BTreeSet<String> {
    fs::read_dir(root().join(inside))
        .expect(inside)
        .map(|entry| entry.expect(inside))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("names are UTF-8"))
        .collect()
}

/// Servers of others.
const SERVERS: [&str; 2] = ["nats", "postgres"];
/// The one secret that a server of others is given.
const DATABASE_PASSWORD: &str = "database_password";

/// Every crate below `services` is a role, but the binary that runs them.
fn roles() -> BTreeSet<String> {
    let mut roles = folders("services");
    assert!(roles.remove("signalbox"));
    roles
}

/// All settings, as `section.key`.
fn settings() -> BTreeSet<String> {
    let files = folders("services")
        .into_iter()
        .map(|service| format!("services/{service}/config.toml"))
        .chain([
            "shared/runtime/config.toml".to_owned(),
            "shared/broker/config.toml".to_owned(),
            "shared/store/config.toml".to_owned(),
            "shared/access/config.toml".to_owned(),
        ]);
    let mut settings = BTreeSet::new();
    for file in files {
        let table: toml::Table = toml::from_str(&read(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        for (section, keys) in table {
            let keys = keys
                .as_table()
                .unwrap_or_else(|| panic!("{file}: {section} is no section"));
            settings.extend(keys.keys().map(|key| format!("{section}.{key}")));
        }
    }
    settings
}

fn words(node: Option<&Yaml<'_>>) -> Vec<String> {
    let nodes = node
        .and_then(|node| node.as_vec())
        .map(Vec::as_slice)
        .unwrap_or_default();
    nodes
        .iter()
        .map(|word| word.as_str().expect("a word in quotes, or that needs none").to_owned())
        .collect()
}

fn pairs(node: Option<&Yaml<'_>>) -> Vec<(String, String)> {
    let Some(mapping) = node.and_then(|node| node.as_mapping()) else {
        return Vec::new();
    };
    let text = |node: &Yaml<'_>| node.as_str().expect("text").to_owned();
    mapping.iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// A service that runs our binary.
struct Service {
    name: String,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    secrets: Vec<String>,
}

/// A field of a service: its own, else that of what it is merged with.
fn field<'a>(service: &'a Yaml<'a>, name: &str) -> Option<&'a Yaml<'a>> {
    service
        .as_mapping_get(name)
        .or_else(|| field(service.as_mapping_get("<<")?, name))
}

fn services() -> Vec<Service> {
    let text = read("docker-compose.yml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let services = documents[0]
        .as_mapping_get("services")
        .and_then(|node| node.as_mapping())
        .expect("services");
    services
        .iter()
        .map(|(name, service)| Service {
            name: name.as_str().expect("a name").to_owned(),
            command: words(field(service, "command")),
            environment: pairs(field(service, "environment")),
            secrets: words(field(service, "secrets")),
        })
        .filter(|service| !SERVERS.contains(&service.name.as_str()))
        .collect()
}

impl Service {
    /// The roles of `run ROLE... --flag value...`.
    fn roles(&self) -> Vec<&str> {
        let (first, rest) = self.command.split_first().expect("a command");
        assert_eq!(first, "run", "{}", self.name);
        rest.iter()
            .map(String::as_str)
            .take_while(|word| !word.starts_with("--"))
            .collect()
    }
}

#[test]
fn every_role_has_its_service_and_every_service_its_role() {
    let services = services();
    for service in &services {
        assert_eq!(service.roles().len(), 1, "{} runs one role", service.name);
        let role = service.roles()[0];
        assert!(
            service.name == role || service.name.starts_with(&format!("{role}-")),
            "{} runs {role}",
            service.name
        );
    }
    let running: BTreeSet<String> = services.iter().flat_map(Service::roles).map(str::to_owned).collect();
    assert_eq!(running, roles());
}

#[test]
fn every_provider_is_delivered_for() {
    let services = services();
    let delivered: BTreeSet<&str> = services
        .iter()
        .flat_map(|service| service.command.windows(2))
        .filter(|pair| pair[0] == "--provider")
        .map(|pair| pair[1].as_str())
        .collect();
    let known: BTreeSet<&str> = signalbox_providers::registry().iter().map(|entry| entry.name).collect();
    assert_eq!(delivered, known, "each provider has a service delivery-<provider>");
}

#[test]
fn commands_have_flags_that_exist_and_providers_that_exist() {
    for service in services() {
        let flags = &service.command[1 + service.roles().len()..];
        for pair in flags.chunks(2) {
            let [flag, value] = pair else {
                panic!("{}: {pair:?} has no value", service.name)
            };
            assert!(FLAGS.contains(&flag.as_str()), "{}: {flag}", service.name);
            if flag == "--provider" {
                let folder = root().join("shared/providers/src").join(value).join("golden");
                assert!(folder.is_dir(), "{}: there is no provider {value}", service.name);
            } else {
                assert!(
                    value.starts_with("0.0.0.0:"),
                    "{}: {value} is not seen from outside",
                    service.name
                );
            }
        }
    }
}

#[test]
fn the_environment_names_settings_that_exist() {
    let known = settings();
    for service in services() {
        for (variable, _) in &service.environment {
            let setting = variable
                .strip_prefix("SIGNALBOX_")
                .and_then(|rest| rest.split_once("__"))
                .map(|(section, key)| format!("{section}.{key}").to_lowercase());
            let setting = setting.unwrap_or_else(|| panic!("{}: {variable} is no setting", service.name));
            assert!(
                known.contains(&setting),
                "{}: {variable} would set {setting}, which there is not",
                service.name
            );
        }
    }
}

#[test]
fn every_service_finds_nats_and_the_keys_that_it_names() {
    let text = read("docker-compose.yml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let declared: BTreeSet<String> = documents[0]
        .as_mapping_get("secrets")
        .and_then(|node| node.as_mapping())
        .expect("secrets")
        .keys()
        .map(|key| key.as_str().expect("a name").to_owned())
        .collect();
    let mut used = BTreeSet::from([DATABASE_PASSWORD.to_owned()]);
    for service in services() {
        let value = |name: &str| {
            service
                .environment
                .iter()
                .find(|(variable, _)| variable == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(
            value("SIGNALBOX_NATS__URL"),
            Some("nats://nats:4222"),
            "{}",
            service.name
        );
        let named: BTreeSet<String> = service
            .environment
            .iter()
            .filter_map(|(_, value)| value.strip_prefix("/run/secrets/"))
            .map(str::to_owned)
            .collect();
        let given: BTreeSet<String> = service.secrets.iter().cloned().collect();
        assert_eq!(
            named, given,
            "{}: keys that its settings name, and that it is given",
            service.name
        );
        used.extend(given);
    }
    assert_eq!(used, declared);
}

#[test]
fn who_uses_the_database_is_told_where_it_is() {
    let uses: BTreeSet<String> = services()
        .into_iter()
        .filter(|service| {
            let url = (
                "SIGNALBOX_STORE__URL_FILE".to_owned(),
                "/run/secrets/database_url".to_owned(),
            );
            service.environment.contains(&url)
        })
        .map(|service| service.name)
        .collect();
    assert_eq!(uses, BTreeSet::from(["api".to_owned(), "recorder".to_owned()]));
}

#[test]
fn the_server_takes_four_times_the_largest_event_and_keeps_its_streams() {
    let text = read("docker-compose.yml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let nats = documents[0]
        .as_mapping_get("services")
        .and_then(|node| node.as_mapping_get("nats"))
        .expect("nats");
    let image = nats
        .as_mapping_get("image")
        .and_then(|node| node.as_str())
        .expect("an image");
    let minor = image
        .strip_prefix("nats:2.")
        .and_then(|rest| rest.split(['-', '.']).next());
    let minor: u32 = minor
        .and_then(|minor| minor.parse().ok())
        .unwrap_or_else(|| panic!("{image}"));
    assert!(minor >= 12, "{image} has no message schedules");
    assert_eq!(words(nats.as_mapping_get("volumes")), ["nats:/data"]);
    let content = documents[0]
        .as_mapping_get("configs")
        .and_then(|node| node.as_mapping_get("nats"))
        .and_then(|node| node.as_mapping_get("content"))
        .and_then(|node| node.as_str())
        .expect("the server's settings");
    for line in ["max_payload: 1MB", "store_dir: \"/data\""] {
        assert!(content.contains(line), "{line}");
    }
}

#[test]
fn no_service_needs_another_to_be_started_first_or_more_rights_than_it_has() {
    let text = read("docker-compose.yml");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let services = documents[0]
        .as_mapping_get("services")
        .and_then(|node| node.as_mapping())
        .expect("services");
    for (name, service) in services {
        let name = name.as_str().expect("a name");
        // Roles wait for NATS by themselves; one that Compose holds back would fail with it.
        assert!(field(service, "depends_on").is_none(), "{name}");
        let ports = words(field(service, "ports"));
        assert!(
            ports.iter().all(|port| port.starts_with("127.0.0.1:")),
            "{name}: {ports:?}"
        );
        if SERVERS.contains(&name) {
            assert!(field(service, "healthcheck").is_some(), "the image of {name} has none");
            assert!(
                !words(field(service, "volumes")).is_empty(),
                "{name} keeps what it is given"
            );
            continue;
        }
        assert_eq!(words(field(service, "cap_drop")), ["ALL"], "{name}");
        assert_eq!(
            field(service, "read_only").and_then(|node| node.as_bool()),
            Some(true),
            "{name}"
        );
        assert!(
            field(service, "volumes").is_none(),
            "{name}: a role keeps nothing on disk"
        );
        let user = field(service, "user")
            .and_then(|node| node.as_str())
            .unwrap_or_default();
        assert!(user.ends_with(":-1000:1000}"), "{name}: {user}");
    }
}

#[test]
fn the_image_asks_the_port_that_every_role_listens_on_whether_it_is_ready() {
    let dockerfile = read("Dockerfile").replace("\\\n", "");
    let check = dockerfile
        .lines()
        .find(|line| line.starts_with("HEALTHCHECK "))
        .expect("a health check");
    assert!(check.contains("/readyz"), "{check}");
    let (_, port) = check.split_once("/dev/tcp/127.0.0.1/").expect("an address");
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    for service in services() {
        let flag = service.command.iter().position(|word| word == "--admin-listen");
        let listens = flag.and_then(|flag| service.command.get(flag + 1));
        assert_eq!(listens, Some(&format!("0.0.0.0:{port}")), "{}", service.name);
    }
    // Keys and what was built must not travel into the image.
    let ignored = read(".dockerignore");
    for path in ["signalbox-data", "target", ".git"] {
        assert!(ignored.lines().any(|line| line == path), "{path}");
    }
}

#[test]
fn the_image_is_built_with_the_oldest_compiler_that_is_promised() {
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).expect("TOML");
    let version = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .expect("a version");
    let dockerfile = read("Dockerfile");
    assert!(
        dockerfile.contains(&format!("FROM rust:{version}-slim-bookworm")),
        "the rust-version is {version}"
    );
    assert!(
        dockerfile.contains("FROM debian:12-slim"),
        "bookworm is Debian 12: a newer C library would not be found"
    );
    assert!(dockerfile.contains("\nUSER 1000:1000\n"));
}
