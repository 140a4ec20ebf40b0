use super::*;

fn refused(config: &Value, credentials: &Value) -> Vec<String> {
    let checked = find("jenkins").unwrap().check(config, credentials, &Egress::default());
    let wrong = checked.err().unwrap_or_default().into_iter();
    wrong.map(|error| error.pointer).collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let with = |name: &str, value: Value| {
        let mut config = config();
        config[name] = value;
        config
    };
    for (config, credentials, pointer) in [
        (json!({ "job": "a" }), credentials(), "config/base_url"),
        (with("base_url", json!("jenkins")), credentials(), "config/base_url"),
        (
            with("base_url", json!("http://ci.example.com")),
            credentials(),
            "config/base_url",
        ),
        (with("job", json!("")), credentials(), "config/job"),
        (with("job", json!("a//b")), credentials(), "config/job"),
        (with("job", json!("a/../b")), credentials(), "config/job"),
        (with("action", json!("stop")), credentials(), "config/action"),
        (
            with("parameters", json!({ "A": "{{ x" })),
            credentials(),
            "config/parameters/A",
        ),
        (
            with("parameters", json!({ "": "x" })),
            credentials(),
            "config/parameters",
        ),
        (
            with("parameters", json!({ "signalbox_delivery": "x" })),
            credentials(),
            "config/parameters/signalbox_delivery",
        ),
        (with("colour", json!("red")), credentials(), "config/colour"),
        (config(), json!({ "user": "a" }), "credentials/api_token"),
        (config(), json!({ "user": "a:b", "api_token": "x" }), "credentials/user"),
        (config(), json!({ "user": " ", "api_token": "x" }), "credentials/user"),
        (
            config(),
            json!({ "user": "a", "api_token": " " }),
            "credentials/api_token",
        ),
    ] {
        assert_eq!(refused(&config, &credentials), [pointer], "{config} {credentials}");
    }
    assert_eq!(refused(&config(), &credentials()), [""; 0]);
}

#[test]
fn each_folder_is_a_level_of_the_address() {
    for (job, expected) in [
        ("deploy", "/job/deploy"),
        ("/shop/web/deploy/", "/job/shop/job/web/job/deploy"),
        ("job/shop/job/deploy/", "/job/shop/job/deploy"),
        ("job", "/job/job"),
        ("shop/feature%2Fx y", "/job/shop/job/feature%252Fx%20y"),
    ] {
        let mut config = config();
        config["job"] = job.into();
        let request = request_of(config, &delivery("alert.created", &json!({})));
        assert_eq!(request.url.path(), format!("/jenkins{expected}/buildWithParameters"));
    }
}

#[test]
fn no_secret_is_printed() {
    let basic = "c2lnbmFsYm94OjExczNjcmV0NDcxMQ==";
    let read: Credentials = serde_json::from_value(credentials()).unwrap();
    let given: Config = serde_json::from_value(config()).unwrap();
    let request = request_of(config(), &delivery("alert.created", &json!({})));
    match &request.auth {
        Auth::Authorization(value) => assert_eq!(value.to_str().unwrap(), format!("Basic {basic}")),
        other => panic!("{other:?}"),
    }
    let prepared = format!(
        "{:?}",
        Jenkins::prepare(given, serde_json::from_value(credentials()).unwrap()).map_err(|_| "refused")
    );
    let printed = format!("{read:?} {request:?} {prepared}");
    assert!(!printed.contains("s3cret") && !printed.contains(basic), "{printed}");
    assert!(prepared.contains("ci.example.com"), "{prepared}");
}
