//! The README names the routes that there are, each with its methods, and no other.

use std::collections::BTreeSet;

/// `METHOD path` of each `.route(…)` in the source of the router.
fn served() -> BTreeSet<String> {
    let source = include_str!("lib.rs");
    let mut routes = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let mut parts = route.splitn(3, '"');
        let (Some(_), Some(path), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            panic!("a route without a path: {route}");
        };
        let rest = rest.split(".route_layer(").next().unwrap_or_default();
        let methods = ["get", "post", "put", "patch", "delete"]
            .into_iter()
            .filter(|method| rest.contains(&format!(" {method}(")) || rest.contains(&format!(".{method}(")));
        for method in methods {
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    routes
}

/// The same, of the first column of the README's table.
fn documented() -> BTreeSet<String> {
    let rows = include_str!("../README.md")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|row| row.split(" | ").next());
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readme_names_every_route_and_no_other() {
    let served: BTreeSet<String> = served()
        .into_iter()
        // Written once for its three streams.
        .filter(|route| route != "GET /v1/tail/{what}")
        .chain(["events", "deliveries", "dead"].map(|what| format!("GET /v1/tail/{what}")))
        .collect();
    assert!(served.len() > 30, "{served:?}");
    let documented = documented();
    let missing: Vec<_> = served.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&served).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "not in the README: {missing:?}; not served: {invented:?}"
    );
}
