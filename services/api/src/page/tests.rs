use axum::http::Method;

use super::*;
use crate::routes::{self, Reach, Scope};

fn page() -> String {
    let about = About::of(&routes::table());
    String::from_utf8(about.page.to_vec()).expect("text")
}

#[test]
fn the_page_has_every_route_under_its_group() {
    let page = page();
    for route in routes::table() {
        assert!(page.contains(&format!("<section id=\"{}\">", route.id)), "{}", route.id);
        assert!(page.contains(&format!("<a href=\"#{}\">", route.id)), "{}", route.id);
    }
    for (tag, _) in routes::TAGS {
        assert!(page.contains(&format!("<h2>{tag}</h2>")), "{tag}");
    }
    assert!(page.contains("<code>wrong_org</code>") && page.contains("<summary><code>Problem</code></summary>"));
}

#[test]
fn the_page_takes_nothing_from_elsewhere_and_runs_nothing() {
    let page = page();
    for forbidden in [
        "<script",
        "<link",
        "<img",
        "<iframe",
        " src=",
        "url(",
        "@import",
        "javascript:",
        " onclick",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    // Every link stays here.
    for target in page.split("href=\"").skip(1) {
        assert!(
            target.starts_with('#') || target.starts_with("/openapi.json\""),
            "{:?}",
            target.get(..40)
        );
    }
    assert!(POLICY.starts_with("default-src 'none'; style-src 'unsafe-inline'"));
    assert!(!POLICY.contains("script"));
}

#[test]
fn every_link_of_the_page_leads_somewhere() {
    let page = page();
    for target in page.split("href=\"#").skip(1) {
        let target = target.split('"').next().unwrap_or_default();
        assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
    }
}

#[test]
fn tags_are_balanced() {
    let page = page();
    for tag in [
        "section", "table", "details", "pre", "code", "p", "ul", "li", "h2", "h3", "nav", "tr", "td",
    ] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn an_example_is_a_command_that_a_shell_takes() {
    let route = Route::post("/v1/things/{id}", "thing")
        .needs(Scope::Admin, Reach::Org)
        .names("id", serde_json::json!({ "examples": ["it"] }), "The thing")
        .takes::<crate::integrations::Nothing>(true, serde_json::json!({ "where": "event.data.name == 'x'" }));
    assert_eq!(route.method, Method::POST);
    assert_eq!(
        html::curl(&route),
        "curl -X POST 'http://127.0.0.1:8080/v1/things/it' \\\n  -H \"Authorization: Bearer $SIGNALBOX_KEY\" \\\n  \
         -H 'Content-Type: application/json' \\\n  -d '{\"where\":\"event.data.name == '\\''x'\\''\"}'"
    );
}
