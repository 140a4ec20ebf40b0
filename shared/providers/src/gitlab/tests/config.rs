use super::*;

fn refused(config: &Value, credentials: &Value) -> Vec<String> {
    let checked = find("gitlab").unwrap().check(config, credentials, &Egress::default());
    let wrong = checked.err().unwrap_or_default().into_iter();
    wrong.map(|error| error.pointer).collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let with = |name: &str, value: Value| {
        let mut config = run();
        config[name] = value;
        config
    };
    let labelled = |labels: Value| json!({ "project": "1", "action": "create_issue", "labels": labels });
    for (config, credentials, pointer) in [
        (json!({}), token(), "config/project"),
        (json!({ "project": "shop" }), token(), "config/project"),
        (json!({ "project": "acme//shop" }), token(), "config/project"),
        (json!({ "project": "acme/../shop" }), token(), "config/project"),
        (
            json!({ "project": "https://gitlab.com/acme/shop" }),
            token(),
            "config/project",
        ),
        (with("action", json!("close")), token(), "config/action"),
        (with("ref", json!(" ")), token(), "config/ref"),
        (with("colour", json!("red")), token(), "config/colour"),
        (
            with("base_url", json!("http://gitlab.example.com")),
            token(),
            "config/base_url",
        ),
        (with("base_url", json!("https://10.0.0.1")), token(), "config/base_url"),
        (run(), json!({}), "credentials/token"),
        (run(), json!({ "token": "" }), "credentials/token"),
        (run(), json!({ "token": "a\u{7f}b" }), "credentials/token"),
        (run(), json!({ "trigger_token": " " }), "credentials/trigger_token"),
        (issues(), json!({ "trigger_token": TRIGGER }), "credentials/token"),
        (labelled(json!(["ok", "a,b"])), token(), "config/labels/1"),
        (labelled(json!([""])), token(), "config/labels/0"),
        (labelled(json!(vec!["x"; 100])), token(), "config/labels"),
    ] {
        assert_eq!(refused(&config, &credentials), [pointer], "{config} {credentials}");
    }
    for config in [
        run(),
        json!({ "project": " 4711 " }),
        json!({ "project": "a/b/c", "base_url": "https://git.example.com/" }),
    ] {
        assert_eq!(refused(&config, &both()), [""; 0], "{config}");
    }
}

#[test]
fn a_base_url_may_have_a_path_and_end_in_that_of_the_api() {
    for (base, expected) in [
        (
            "https://git.example.com",
            "https://git.example.com/api/v4/projects/acme%2Fshop/pipeline",
        ),
        (
            "https://git.example.com/api/v4/",
            "https://git.example.com/api/v4/projects/acme%2Fshop/pipeline",
        ),
        (
            "https://example.com/gitlab/",
            "https://example.com/gitlab/api/v4/projects/acme%2Fshop/pipeline",
        ),
    ] {
        let mut config = run();
        config["base_url"] = base.into();
        let request = request_of(&*open(config, token(), None), &delivery("alert.created", &json!({})));
        assert_eq!(request.url.as_str(), expected);
    }
}

#[test]
fn fields_without_effect_are_warned_of() {
    let warned = |config: &Value, credentials: &Value| -> Vec<String> {
        let warnings = find("gitlab").unwrap().warnings(config, credentials);
        warnings.into_iter().map(|warning| warning.pointer).collect()
    };
    assert_eq!(warned(&run(), &both()), [""; 0]);
    assert_eq!(
        warned(&json!({ "project": "1", "labels": ["a"] }), &token()),
        ["config/labels"]
    );
    let mut issue = issues();
    issue["ref"] = "main".into();
    assert_eq!(warned(&issue, &both()), ["config/ref", "credentials/trigger_token"]);
}

#[test]
fn no_secret_is_printed() {
    let credentials: Credentials = serde_json::from_value(both()).unwrap();
    let config: Config = serde_json::from_value(run()).unwrap();
    let request = request_of(&*open(run(), both(), None), &delivery("alert.created", &json!({})));
    let printed = format!("{credentials:?} {config:?} {request:?}");
    assert!(!printed.contains("s3cret"), "{printed}");
    let prepared = format!("{:?}", Gitlab::prepare(config, credentials).map_err(|_| "refused"));
    assert!(
        !prepared.contains("s3cret") && prepared.contains("gitlab.com"),
        "{prepared}"
    );
}
