//! The type of a default is the type of its setting: reading texts as that type, and holding typed values to it.

use config::{Value, ValueKind};

use super::{bare_or_quoted, quoted, redacted};

/// Reads a text from outside TOML. The error says what was expected, as in `an integer`.
pub(super) fn read(default: &Value, text: &str) -> Result<Value, String> {
    match &default.kind {
        ValueKind::Array(elements) => {
            if elements
                .iter()
                .any(|element| matches!(element.kind, ValueKind::Table(_)))
            {
                return Err("possible here: a list of tables can only be given in a file".to_owned());
            }
            let sample = elements.first();
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| match sample {
                    Some(sample) => {
                        read(sample, part).map_err(|expected| format!("a list of which each is {expected}"))
                    }
                    None => Ok(Value::from(part)),
                })
                .collect::<Result<Vec<Value>, String>>()
                .map(Value::from)
        }
        kind if is_integer(kind) => text.trim().parse::<i64>().map(Value::from).map_err(|_| expected(kind)),
        ValueKind::Float(_) => text
            .trim()
            .parse::<f64>()
            .map(Value::from)
            .map_err(|_| expected(&default.kind)),
        ValueKind::Boolean(_) => text
            .trim()
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| expected(&default.kind)),
        _ => Ok(Value::from(text)),
    }
}

/// Holds a value from a file or a flag to the type of its default. The error says what was expected.
pub(super) fn fit(default: &Value, given: Value) -> Result<Value, String> {
    match (&default.kind, given.kind) {
        (ValueKind::String(_), kind @ ValueKind::String(_))
        | (ValueKind::Float(_), kind @ ValueKind::Float(_))
        | (ValueKind::Boolean(_), kind @ ValueKind::Boolean(_)) => Ok(Value::new(None, kind)),
        (ValueKind::Float(_), ValueKind::I64(whole)) => Ok(Value::from(whole as f64)),
        (default, kind) if is_integer(default) && is_integer(&kind) => Ok(Value::new(None, kind)),
        (ValueKind::Array(samples), ValueKind::Array(elements)) => match samples.first() {
            Some(sample) if !matches!(sample.kind, ValueKind::Table(_)) => elements
                .into_iter()
                .map(|element| fit(sample, element).map_err(|expected| format!("a list of which each is {expected}")))
                .collect::<Result<Vec<Value>, String>>()
                .map(Value::from),
            _ => Ok(Value::from(elements)),
        },
        (default, _) => Err(expected(default)),
    }
}

/// A value as it would stand in a TOML file, users, passwords and queries in URLs masked.
pub(super) fn show(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => quoted(&redacted(text)),
        ValueKind::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(show).collect();
            format!("[{}]", elements.join(", "))
        }
        ValueKind::Table(table) => {
            let mut pairs: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{} = {}", bare_or_quoted(key), show(value)))
                .collect();
            pairs.sort();
            format!("{{ {} }}", pairs.join(", "))
        }
        ValueKind::Float(number) => format!("{number:?}"),
        ValueKind::Nil
        | ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_) => value.to_string(),
    }
}

fn is_integer(kind: &ValueKind) -> bool {
    matches!(
        kind,
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_)
    )
}

fn expected(default: &ValueKind) -> String {
    match default {
        ValueKind::String(text) if text.is_empty() => "a text in quotes".to_owned(),
        ValueKind::String(text) => format!("a text such as {}", quoted(text)),
        ValueKind::Float(_) => "a number".to_owned(),
        ValueKind::Boolean(_) => "true or false".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Table(_) | ValueKind::Nil => "a section with keys of its own".to_owned(),
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "an integer".to_owned(),
    }
}
