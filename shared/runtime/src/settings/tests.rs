use std::{io::Write as _, time::Duration};

use super::*;

const DELIVERY: (&str, &str) = (
    "delivery",
    r#"
    [delivery]
    in_flight_max = 64
    share = 0.5
    enabled = true
    timeout = "15s"
    token = ""
    label = "x"
    ports = [80, 443]
    [delivery.headers]
    "#,
);
const NATS: (&str, &str) = (
    "broker",
    r#"
    [nats]
    url = "nats://127.0.0.1:4222"
    allow = []
    ca = ""
    [nats.tls]
    first = false
    "#,
);

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Delivery {
    in_flight_max: u16,
    share: f64,
    enabled: bool,
    #[serde(with = "crate::duration")]
    timeout: Duration,
    token: String,
    label: String,
    ports: Vec<u16>,
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nats {
    url: String,
    allow: Vec<String>,
    #[serde(deserialize_with = "none_if_empty")]
    ca: Option<PathBuf>,
    tls: Tls,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    first: bool,
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str, env: &[(&str, &str)], overrides: &[(&str, toml::Value)]) -> Result<Settings, String> {
    let file = file(text);
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let overrides: Vec<_> = overrides
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    Settings::load(&[DELIVERY, NATS], Some(file.path()), env, &overrides)
        .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
}

fn delivery(text: &str, env: &[(&str, &str)], overrides: &[(&str, toml::Value)]) -> Result<Delivery, String> {
    load(text, env, overrides)?
        .section("delivery")
        .map_err(|error| error.to_string())
}

fn check_error(text: &str, env: &[(&str, &str)], expected: &str) {
    let error = load(text, env, &[]).expect_err(expected);
    assert_eq!(error, expected);
}

#[test]
fn defaults_alone_are_enough() {
    let settings = load("", &[], &[]).unwrap();
    assert_eq!(
        settings.section::<Delivery>("delivery").unwrap(),
        Delivery {
            in_flight_max: 64,
            share: 0.5,
            enabled: true,
            timeout: Duration::from_secs(15),
            token: String::new(),
            label: "x".to_owned(),
            ports: vec![80, 443],
            headers: BTreeMap::new(),
        }
    );
    let nats: Nats = settings.section("nats").unwrap();
    assert_eq!((nats.ca, nats.allow.len(), nats.tls.first), (None, 0, false));
    assert_eq!(nats.url, "nats://127.0.0.1:4222");
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let text = "[delivery]\nin_flight_max = 1\nlabel = 'file'\n[nats]\nurl = 'nats://file'";
    let env = [
        ("SIGNALBOX_DELIVERY__IN_FLIGHT_MAX", "2"),
        ("SIGNALBOX_DELIVERY__LABEL", "env"),
    ];
    let flags = [("delivery.in_flight_max", toml::Value::from(3))];
    let settings = load(text, &env, &flags).unwrap();
    let delivery: Delivery = settings.section("delivery").unwrap();
    assert_eq!(
        (delivery.in_flight_max, delivery.label.as_str(), delivery.share),
        (3, "env", 0.5)
    );
    let origin = |key: &str| {
        settings
            .entries()
            .into_iter()
            .find(|entry| entry.key == key)
            .unwrap()
            .origin
    };
    assert_eq!(origin("delivery.in_flight_max"), Origin::Flag);
    assert_eq!(
        origin("delivery.label"),
        Origin::Env("SIGNALBOX_DELIVERY__LABEL".to_owned())
    );
    assert!(matches!(origin("nats.url"), Origin::File(_)));
    assert_eq!(origin("delivery.share"), Origin::Default);
}

#[test]
fn a_text_from_the_environment_takes_the_type_of_the_default() {
    let env = [
        ("SIGNALBOX_DELIVERY__TOKEN", "123"),
        ("SIGNALBOX_DELIVERY__LABEL", "true, or not"),
        ("SIGNALBOX_DELIVERY__SHARE", "1"),
        ("SIGNALBOX_DELIVERY__ENABLED", "false"),
        ("SIGNALBOX_DELIVERY__PORTS", "1, 2,3"),
        ("SIGNALBOX_DELIVERY__HEADERS__X_TEAM", "ops"),
        ("SIGNALBOX_DELIVERY__TIMEOUT", "250ms"),
    ];
    let delivery = delivery("", &env, &[]).unwrap();
    assert_eq!(delivery.token, "123");
    assert_eq!(delivery.label, "true, or not");
    assert_eq!((delivery.share, delivery.enabled), (1.0, false));
    assert_eq!(delivery.ports, [1, 2, 3]);
    assert_eq!(delivery.headers["x_team"], "ops");
    assert_eq!(delivery.timeout, Duration::from_millis(250));
}

#[test]
fn lists_are_split_at_commas_and_may_be_emptied() {
    for (text, expected) in [
        ("10.0.0.0/8, ::1", vec!["10.0.0.0/8", "::1"]),
        ("", vec![]),
        ("a", vec!["a"]),
    ] {
        let nats: Nats = load("", &[("SIGNALBOX_NATS__ALLOW", text)], &[])
            .unwrap()
            .section("nats")
            .unwrap();
        assert_eq!(nats.allow, expected);
    }
    let nats: Nats = load("", &[("SIGNALBOX_NATS__TLS__FIRST", "true")], &[])
        .unwrap()
        .section("nats")
        .unwrap();
    assert!(nats.tls.first);
}

#[test]
fn variables_without_two_underscores_are_not_settings() {
    let env = [
        ("SIGNALBOX_URL", "x"),
        ("SIGNALBOX_DATA_DIR", "x"),
        ("SIGNALBOX_ANY", "x"),
        ("OTHER_A__B", "x"),
    ];
    assert!(load("", &env, &[]).is_ok());
    assert!(load("", &[("SIGNALBOXES_A__B", "x")], &[]).is_ok());
}

#[test]
fn an_unknown_name_is_refused_with_its_origin_and_the_nearest_known_one() {
    check_error(
        "[delivery]\nin_fligth_max = 1",
        &[],
        "unknown setting delivery.in_fligth_max (from FILE); did you mean delivery.in_flight_max?",
    );
    check_error(
        "",
        &[("SIGNALBOX_DELIVRY__LABEL", "x")],
        "unknown setting delivry.label (from SIGNALBOX_DELIVRY__LABEL); did you mean delivery.label?",
    );
    check_error(
        "",
        &[("SIGNALBOX__NATS__URL", "x")],
        "unknown setting _nats.url (from SIGNALBOX__NATS__URL); did you mean nats.url?",
    );
    check_error(
        "[somewhere.entirely]\nelse = 1",
        &[],
        "unknown setting somewhere.entirely.else (from FILE)",
    );
    check_error("[empty]", &[], "unknown setting empty (from FILE)");
    check_error("top = 1", &[], "unknown setting top (from FILE)");
}

#[test]
fn a_value_of_another_type_is_refused_with_what_is_expected() {
    check_error(
        "",
        &[("SIGNALBOX_DELIVERY__IN_FLIGHT_MAX", "abc")],
        "delivery.in_flight_max: \"abc\" is not an integer (from SIGNALBOX_DELIVERY__IN_FLIGHT_MAX)",
    );
    check_error(
        "",
        &[("SIGNALBOX_DELIVERY__ENABLED", "yes")],
        "delivery.enabled: \"yes\" is not true or false (from SIGNALBOX_DELIVERY__ENABLED)",
    );
    check_error(
        "",
        &[("SIGNALBOX_DELIVERY__PORTS", "1,b")],
        "delivery.ports: \"1,b\" is not a list of which each is an integer (from SIGNALBOX_DELIVERY__PORTS)",
    );
    check_error(
        "[delivery]\nlabel = 5",
        &[],
        "delivery.label: 5 is not a text such as \"x\" (from FILE)",
    );
    check_error(
        "[delivery]\nports = 80",
        &[],
        "delivery.ports: 80 is not a list (from FILE)",
    );
    check_error(
        "[delivery]\nports = [\"a\"]",
        &[],
        "delivery.ports: [\"a\"] is not a list of which each is an integer (from FILE)",
    );
    check_error(
        "[delivery]\nin_flight_max = 1.5",
        &[],
        "delivery.in_flight_max: 1.5 is not an integer (from FILE)",
    );
    check_error(
        "[nats]\ntls = true",
        &[],
        "nats.tls: true is not a section with keys of its own (from FILE)",
    );
    check_error(
        "[nats.url]\nhost = 1",
        &[],
        "nats.url: { host = 1 } is not a text such as \"nats://127.0.0.1:4222\" (from FILE)",
    );
}

#[test]
fn what_the_service_s_own_type_refuses_is_named_with_its_origin() {
    for (variable, value, expected) in [
        (
            "TIMEOUT",
            "5x",
            "delivery.timeout: \"5x\" is not a duration such as 250ms, 30s, 2m, 6h or 7d",
        ),
        (
            "IN_FLIGHT_MAX",
            "70000",
            "delivery.in_flight_max: 70000 is not an unsigned 16 bit integer",
        ),
    ] {
        let variable = format!("SIGNALBOX_DELIVERY__{variable}");
        let error = delivery("", &[(&variable, value)], &[]).unwrap_err();
        assert_eq!(error, format!("{expected} (from {variable})"));
    }
    let error = delivery("", &[("SIGNALBOX_DELIVERY__PORTS", "1,70000")], &[]).unwrap_err();
    assert!(error.starts_with("delivery.ports[1]: "), "{error}");
    assert!(error.ends_with("(from SIGNALBOX_DELIVERY__PORTS)"), "{error}");
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let missing = Settings::load(&[], Some(Path::new("/does/not/exist.toml")), std::iter::empty(), &[]).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read settings from /does/not/exist.toml");
    assert_eq!(
        load("not toml", &[], &[]).unwrap_err(),
        "cannot read settings from FILE"
    );
}

#[test]
fn two_services_cannot_define_one_setting() {
    let load = |defaults: &[_]| Settings::load(defaults, Some(file("").path()), std::iter::empty(), &[]);
    let error = load(&[NATS, ("other", "[nats]\nurl = ''")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "defaults of other: nats.url is defined by another service"
    );
    let error = load(&[("other", "url = ''")]).unwrap_err();
    assert_eq!(error.to_string(), "defaults of other: url is not in a section");
}

#[test]
fn secrets_are_masked_wherever_settings_are_shown() {
    let env = [
        ("SIGNALBOX_DELIVERY__TOKEN", "hunter2"),
        ("SIGNALBOX_DELIVERY__LABEL", "hunter2"),
        ("SIGNALBOX_NATS__URL", "nats://me:hunter2@a:4222,nats://me:hunter2@b/x"),
    ];
    let settings = load("", &env, &[]).unwrap().mask(&["delivery.label"]);
    let shown = |key: &str| {
        settings
            .entries()
            .into_iter()
            .find(|entry| entry.key == key)
            .unwrap()
            .value
    };
    assert_eq!(shown("delivery.token"), "\"***\"");
    assert_eq!(shown("delivery.label"), "\"***\"");
    assert_eq!(shown("nats.url"), "\"nats://***@a:4222,nats://***@b/x\"");
    assert!(!format!("{settings:?}").contains("hunter2"));
    check_error(
        "[delivery]\ntoken = 123",
        &[],
        "delivery.token: \"***\" is not a text in quotes (from FILE)",
    );
}

#[test]
fn a_shown_url_has_neither_user_nor_query() {
    for (text, shown) in [
        ("nats://a:4222,b:4222", "nats://a:4222,b:4222"),
        ("info,async_nats=warn", "info,async_nats=warn"),
        ("what?", "what?"),
        ("nats://me:hun,ter2@a:4222", "nats://***@a:4222"),
        ("nats://a:4222,me:hunter2@b:4222", "nats://***@b:4222"),
        ("me:hunter2@a:4222", "***@a:4222"),
        ("http://c:4318/v1/traces?token=hunter2", "http://c:4318/v1/traces?***"),
        ("http://c:4318?a=1,token=hunter2", "http://c:4318?***"),
        ("http://c:4318/#hunter2", "http://c:4318/?***"),
        ("http://me:hun?ter2@c:4318", "http://***"),
        ("http://me:hunter2@c?token=hunter2", "http://***@c?***"),
    ] {
        assert_eq!(redacted(text), shown, "{text}");
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Half {
    token: String,
}

#[test]
fn a_part_of_a_section_is_read_alone() {
    let settings = load("", &[("SIGNALBOX_DELIVERY__TOKEN", "t")], &[]).unwrap();
    let half: Half = settings.part("delivery", |key| key == "token").unwrap();
    assert_eq!(half.token, "t");
    assert!(settings.section::<Half>("delivery").is_err());
}

#[test]
fn every_entry_is_shown_as_toml() {
    let shown: BTreeMap<_, _> = load("", &[], &[])
        .unwrap()
        .entries()
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect();
    for (key, value) in [
        ("delivery.in_flight_max", "64"),
        ("delivery.share", "0.5"),
        ("delivery.enabled", "true"),
        ("delivery.timeout", "\"15s\""),
        ("delivery.token", "\"\""),
        ("delivery.ports", "[80, 443]"),
        ("nats.allow", "[]"),
        ("log.level", "\"info,async_nats=warn\""),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
}

#[test]
fn bounds_name_the_setting_and_the_limit() {
    assert_eq!(bound("a.b", 1, 1..=3).unwrap(), 1);
    assert_eq!(bound("a.b", 0, 1..).unwrap_err().to_string(), "a.b: 0 is below 1");
    assert_eq!(bound("a.b", 4, 1..=3).unwrap_err().to_string(), "a.b: 4 is above 3");
    assert_eq!(bound("a.b", 3, ..3).unwrap_err().to_string(), "a.b: 3 is not below 3");
    assert_eq!(
        bound("a.b", f64::NAN, 0.0..=1.0).unwrap_err().to_string(),
        "a.b: NaN is below 0"
    );
    let second = crate::duration::Human(Duration::from_secs(1));
    let hour = crate::duration::Human(Duration::from_secs(3600));
    assert_eq!(
        bound("a.b", hour, ..=second).unwrap_err().to_string(),
        "a.b: 1h is above 1s"
    );
}

#[test]
fn the_distance_between_names_counts_edits() {
    for (left, right, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("abc", "abc", 0)] {
        assert_eq!(edits(left, right), expected);
        assert_eq!(edits(right, left), expected);
    }
}
