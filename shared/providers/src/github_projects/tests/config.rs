use serde_json::{Value, json};

use super::*;

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let config = json!({
        "owner": "orgs/acme", "project_number": 0, "status_field": " ", "status_mappings": { "draft": "" },
        "action": "comment", "base_url": "github",
    });
    let config = serde_json::from_value(config).expect("its fields");
    let credentials = serde_json::from_value(json!({ "token": " " })).expect("its fields");
    let errors = GithubProjects::prepare(config, credentials).expect_err("all of it");
    let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "config/base_url",
            "config/owner",
            "config/project_number",
            "config/status_field",
            "config/status_mappings/draft",
            "config/action",
            "credentials/token",
        ]
    );
}

#[test]
fn the_address_is_githubs() {
    let egress: Egress = serde_json::from_value(json!({ "allow": [] })).expect("no ranges");
    let projects = find("github_projects").expect("built in");
    let check = |base_url: &str| {
        let credentials = json!({ "token": "ghp_a-long-token" });
        let checked = projects.check(&with(json!({ "base_url": base_url })), &credentials, &egress);
        checked.map_err(|errors| errors[0].pointer.clone())
    };
    assert_eq!(check("https://api.github.com/graphql"), Ok(()));
    assert_eq!(check("https://api.acme.ghe.com"), Ok(()));
    for wrong in ["http://api.github.com", "https://github.example.com/api"] {
        assert_eq!(check(wrong), Err("config/base_url".to_owned()), "{wrong}");
    }
    for (base, wanted) in [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://ghes.example.com/api", "https://ghes.example.com/api/graphql"),
        (
            "https://ghes.example.com/api/v3/",
            "https://ghes.example.com/api/graphql",
        ),
        (
            "https://ghes.example.com/api/graphql",
            "https://ghes.example.com/api/graphql",
        ),
    ] {
        assert_eq!(given::endpoint(&Url::parse(base).expect("a URL")).as_str(), wanted);
    }
}

#[test]
fn who_gives_no_option_is_warned() {
    let projects = find("github_projects").expect("built in");
    let credentials = json!({ "token": "ghp_a-long-token" });
    let warned = |change: Value| projects.warnings(&with(change), &credentials).len();
    assert_eq!(warned(json!({})), 0);
    assert_eq!(warned(json!({ "status_mappings": {} })), 1);
    assert_eq!(warned(json!({ "status_mappings": {}, "action": "link" })), 0);
}
