//! The README names routes that there are, and no other.

use std::collections::BTreeSet;

use crate::routes;

#[test]
fn the_readme_names_only_routes_that_are_served() {
    let table = routes::table();
    let served: BTreeSet<String> = table
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let readme = include_str!("../README.md");
    let named: BTreeSet<&str> = readme
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| {
            ["GET /", "POST /", "PUT /", "PATCH /", "DELETE /"]
                .iter()
                .any(|start| code.starts_with(start))
        })
        .collect();
    assert!(named.len() > 5, "{named:?}");
    let invented: Vec<&&str> = named.iter().filter(|route| !served.contains(**route)).collect();
    assert!(invented.is_empty(), "not served: {invented:?}");
}
