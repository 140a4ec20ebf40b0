//! The group of an integration at a gateway: the address that its metrics are put to.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use url::Url;

use crate::{About, fields};

/// Where groups are, below the address of the gateway.
const METRICS: &str = "metrics";

/// The address of an integration's own group. Its org and its id never change and are nobody else's, so that no other
/// integration, whatever its job, replaces what this one has told.
pub(super) fn url(gateway: &Url, job: &str, about: &About) -> Url {
    let mut parts = vec![METRICS.to_owned()];
    for (label, value) in [
        ("job", job),
        ("org", about.org.as_str()),
        ("integration", &about.integration),
    ] {
        parts.extend(label_and_value(label, value));
    }
    fields::below(gateway, &parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Two parts of a path. A value that a path might not bring unchanged (a slash, a dot alone, what a proxy decodes) goes
/// as base64.
fn label_and_value(label: &str, value: &str) -> [String; 2] {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let only_dots = value.chars().all(|c| c == '.');
    if !only_dots && value.chars().all(is_plain) {
        [label.to_owned(), value.to_owned()]
    } else {
        [format!("{label}@base64"), URL_SAFE_NO_PAD.encode(value)]
    }
}

#[cfg(test)]
mod tests;
