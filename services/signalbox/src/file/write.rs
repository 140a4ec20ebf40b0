//! Integrations as a YAML file, for `export`.

use std::fmt::Write as _;

use serde_json::Value;

/// The order in which people read an integration; other fields follow by name.
const ORDER: [&str; 11] = [
    "name",
    "org",
    "provider",
    "config",
    "credentials",
    "events",
    "filter",
    "template",
    "retry",
    "expire_after",
    "timeout",
];

/// A file of integrations, with a comment at its head.
pub(crate) fn integrations_yaml(integrations: &[Value], note: &str) -> String {
    let mut text = String::new();
    for line in note.lines() {
        line_of(&mut text, 0, &format!("# {line}"));
    }
    if integrations.is_empty() {
        line_of(&mut text, 0, "integrations: []");
        return text;
    }
    line_of(&mut text, 0, "integrations:");
    for integration in integrations {
        let mut fields: Vec<(&String, &Value)> = integration.as_object().into_iter().flatten().collect();
        fields.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
        for (index, (name, value)) in fields.into_iter().enumerate() {
            let dash = if index == 0 { "- " } else { "  " };
            line_of(&mut text, 2, &format!("{dash}{}: {}", key(name), flow(value)));
        }
    }
    text
}

fn line_of(text: &mut String, indent: usize, line: &str) {
    writeln!(text, "{:indent$}{line}", "").expect("a String takes any text");
}

/// A value in flow style, which fits on the line of its field. Texts are quoted as in JSON, which YAML reads alike.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let fields: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{}: {}", key(name), flow(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) if is_plain(text) => text.clone(),
        // `${` would be taken for a reference when the file is applied.
        Value::String(text) => Value::from(text.replace("${", "$${")).to_string(),
        other => other.to_string(),
    }
}

fn key(name: &str) -> String {
    if is_plain(name) {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}

/// Whether a text without quotes is read as this text: words of letters that are no other value.
fn is_plain(text: &str) -> bool {
    let words = ["true", "false", "null", "yes", "no", "on", "off"];
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        && !words.contains(&text.to_ascii_lowercase().as_str())
}
