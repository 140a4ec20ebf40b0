use super::*;

fn refused(config: &Value, credentials: &Value, egress: &Egress) -> Vec<String> {
    let checked = find("github").unwrap().check(config, credentials, egress);
    let wrong = checked.err().unwrap_or_default().into_iter();
    wrong.map(|error| error.pointer).collect()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let with = |more: Value| {
        let mut config = json!({ "repo": "acme/shop" });
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config
    };
    let run = |more: Value| {
        let mut config = run_config();
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config
    };
    let token = json!({ "token": TOKEN });
    for (config, credentials, pointer) in [
        (json!({}), token.clone(), "config/repo"),
        (json!({ "repo": "shop" }), token.clone(), "config/repo"),
        (
            json!({ "repo": "https://github.com/acme/shop" }),
            token.clone(),
            "config/repo",
        ),
        (json!({ "repo": "acme/.." }), token.clone(), "config/repo"),
        (json!({ "repo": "acme/a b" }), token.clone(), "config/repo"),
        (with(json!({})), json!({}), "credentials/token"),
        (with(json!({})), json!({ "token": " " }), "credentials/token"),
        (with(json!({})), json!({ "token": "a\nb" }), "credentials/token"),
        (with(json!({ "action": "close" })), token.clone(), "config/action"),
        (with(json!({ "labels": ["ok", ""] })), token.clone(), "config/labels/1"),
        (
            with(json!({ "labels": ["x".repeat(51)] })),
            token.clone(),
            "config/labels/0",
        ),
        (
            with(json!({ "labels": vec!["x"; 100] })),
            token.clone(),
            "config/labels",
        ),
        (with(json!({ "body": "{{ event.x" })), token.clone(), "config/body"),
        (
            with(json!({ "action": "create_comment", "issue_number": 0 })),
            token.clone(),
            "config/issue_number",
        ),
        (
            with(json!({ "action": "trigger_workflow" })),
            token.clone(),
            "config/workflow_id",
        ),
        (
            run(json!({ "workflow_id": "../x" })),
            token.clone(),
            "config/workflow_id",
        ),
        (run(json!({ "ref": "" })), token.clone(), "config/ref"),
        (
            run(json!({ "delivery_input": "payload" })),
            token.clone(),
            "config/delivery_input",
        ),
        (
            with(json!({ "base_url": "https://evil.example" })),
            token.clone(),
            "config/base_url",
        ),
        (
            with(json!({ "base_url": "http://api.github.com" })),
            token.clone(),
            "config/base_url",
        ),
        (with(json!({ "colour": "red" })), token.clone(), "config/colour"),
    ] {
        assert_eq!(
            refused(&config, &credentials, &Egress::default()),
            [pointer],
            "{config}"
        );
    }
    for config in [
        with(json!({ "base_url": "https://api.acme.ghe.com" })),
        with(json!({ "repo": " acme_corp/shop.js " })),
        run(json!({ "workflow_id": "161335" })),
    ] {
        assert_eq!(refused(&config, &token, &Egress::default()), [""; 0], "{config}");
    }
}

#[test]
fn a_workflow_may_be_named_by_its_path_and_a_base_url_may_have_one() {
    let mut config = run_config();
    config["workflow_id"] = ".github/workflows/deploy.yml".into();
    config["base_url"] = "https://git.acme.example/api/v3/".into();
    let request = request_of(config, None, &delivery("alert.created", &json!({})));
    let expected = "https://git.acme.example/api/v3/repos/acme/shop/actions/workflows/deploy.yml/dispatches";
    assert_eq!(request.url.as_str(), expected);
}

#[test]
fn fields_without_effect_are_warned_of() {
    let warned = |config: &Value| -> Vec<String> {
        let warnings = find("github").unwrap().warnings(config, &json!({ "token": TOKEN }));
        warnings.into_iter().map(|warning| warning.pointer).collect()
    };
    assert_eq!(warned(&issue_config()), [""; 0]);
    assert_eq!(warned(&run_config()), [""; 0]);
    let mut all = run_config();
    for (name, value) in [
        ("labels", json!(["a"])),
        ("issue_number", json!(1)),
        ("body", json!("x")),
    ] {
        all[name] = value;
    }
    assert_eq!(warned(&all), ["config/labels", "config/issue_number", "config/body"]);
    let issue = json!({ "repo": "acme/shop", "ref": "main", "workflow_id": "a.yml", "delivery_input": "x" });
    assert_eq!(
        warned(&issue),
        ["config/workflow_id", "config/ref", "config/delivery_input"]
    );
}

#[test]
fn no_secret_is_printed() {
    let one = delivery("alert.created", &json!({}));
    let credentials: Credentials = serde_json::from_value(json!({ "token": TOKEN })).unwrap();
    let config: Config = serde_json::from_value(issue_config()).unwrap();
    let printed = format!(
        "{credentials:?} {config:?} {:?}",
        request_of(issue_config(), None, &one)
    );
    assert!(!printed.contains("s3cret"), "{printed}");
    let prepared = format!("{:?}", Github::prepare(config, credentials).map_err(|_| "refused"));
    assert!(
        !prepared.contains("s3cret") && prepared.contains("api.github.com"),
        "{prepared}"
    );
}
