//! How complaints about what somebody wrote are worded, wherever fields are read.

use serde_json::Value;

/// What a value is, in words that do not repeat it.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a group of fields",
    }
}

/// Says that a field is unknown, and which one may be meant.
pub fn unknown(field: &str, known: &[&str]) -> String {
    match nearest(field, known) {
        Some(name) => format!("is not a field here: did you mean {name}?"),
        None => format!("is not a field here: there are {}", known.join(", ")),
    }
}

/// The known name that a written one is probably a slip of.
pub fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let (distance, name) = known.iter().map(|known| (edits(&written, known), *known)).min()?;
    (distance <= 1 + written.len() / 3).then_some(name)
}

/// Levenshtein distance in bytes.
fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests;
