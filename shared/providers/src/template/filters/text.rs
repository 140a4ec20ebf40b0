//! Filters that make texts.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Args;
use crate::{
    display::text::border,
    template::{
        eval::{Budget, Fault, Run},
        operators::as_text,
        value::{ENTRY_BYTES, Value},
    },
};

/// Most spaces that `indent` puts before a line.
const INDENT_MAX: usize = 100;
/// What `truncate` keeps, in characters, where it is not told.
const TRUNCATE_CHARS: usize = 255;
/// What stands for itself in a part of a URL.
const URL_PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A text from the text of a value.
pub(super) fn text_by(value: Value, args: Args, run: &mut Run<'_>, by: fn(&str) -> String) -> Result<Value, Fault> {
    args.end()?;
    if matches!(value, Value::Undefined) {
        return Ok(value);
    }
    let text = as_text(&value, &mut run.budget)?;
    run.budget.take(text.text.len())?;
    let made = by(&text.text);
    run.budget.take(made.len())?;
    Ok(Value::text(made))
}

pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect()
    })
}

pub(super) fn titled(text: &str) -> String {
    let mut begins = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if begins {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        begins = !c.is_alphanumeric() && c != '\'';
    }
    out
}

pub(super) fn safe(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    let text = as_text(&value, &mut run.budget)?;
    Ok(Value::safe(text.text))
}

pub(super) fn escape(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    run.escaped(&value)
}

pub(super) fn tojson(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let indent = args.count("indent")?;
    args.end()?;
    let mut out = String::new();
    value.write_json(&mut out, &mut run.budget)?;
    if let Some(indent) = indent.filter(|indent| *indent > 0) {
        out = spread(&out, indent.min(INDENT_MAX), &mut run.budget)?;
    }
    Ok(if run.takes_json() {
        Value::safe(out)
    } else {
        Value::text(out)
    })
}

/// Spreads JSON over lines.
fn spread(json: &str, indent: usize, budget: &mut Budget) -> Result<String, Fault> {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        budget.take(c.len_utf8())?;
        out.push(c);
        let mut break_line = |depth: usize, out: &mut String| -> Result<(), Fault> {
            budget.take(1 + depth * indent)?;
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', depth * indent));
            Ok(())
        };
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => quoted = true,
            '[' | '{' if !matches!(chars.peek(), Some(']' | '}')) => {
                depth += 1;
                break_line(depth, &mut out)?;
            }
            ',' => break_line(depth, &mut out)?,
            ':' => out.push(' '),
            _ => {}
        }
        if matches!(chars.peek(), Some(']' | '}')) && !matches!(c, '[' | '{') {
            depth = depth.saturating_sub(1);
            break_line(depth, &mut out)?;
        }
    }
    Ok(out)
}

pub(super) fn replace(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let from = args.text("old", &mut run.budget)?;
    let to = args.text("new", &mut run.budget)?;
    let (Some(from), Some(to)) = (from, to) else {
        return Err(args.wrong("old and new", "a text each"));
    };
    args.end()?;
    if matches!(value, Value::Undefined) {
        return Ok(value);
    }
    let text = as_text(&value, &mut run.budget)?;
    run.budget.take(text.text.len().saturating_add(from.text.len()))?;
    let found = text.text.matches(&*from.text).count();
    // Counted before it is made: a short text can be asked to grow by a long one at each of its places.
    run.budget.take(found.saturating_mul(to.text.len()))?;
    Ok(Value::text(text.text.replace(&*from.text, &to.text)))
}

pub(super) fn truncate(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let length = args.count("length")?.unwrap_or(TRUNCATE_CHARS);
    let inside_words = args.take("killwords").is_some_and(|flag| flag.is_true());
    let end = args.text("end", &mut run.budget)?;
    args.end()?;
    if matches!(value, Value::Undefined) {
        return Ok(value);
    }
    let text = as_text(&value, &mut run.budget)?;
    run.budget.take(text.text.len())?;
    if text.text.chars().nth(length).is_none() {
        return Ok(value);
    }
    let end = end.map_or_else(|| Arc::from("…"), |end| end.text);
    run.budget.take(end.len())?;
    let room = length.saturating_sub(end.chars().count());
    let room = text.text.char_indices().nth(room).map_or(text.text.len(), |(at, _)| at);
    // An end of its own would otherwise be taken into a sequence of code points that is one sign.
    let (mut kept, _) = text.text.split_at(border(&text.text, room));
    if !inside_words && let Some((words, _)) = kept.rsplit_once(' ') {
        kept = words;
    }
    let cut = format!("{kept}{end}");
    run.budget.take(cut.len())?;
    Ok(Value::text(cut))
}

pub(super) fn split(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let separator = args.text("sep", &mut run.budget)?;
    args.end()?;
    let text = as_text(&value, &mut run.budget)?;
    let looked_for = separator.as_ref().map_or(0, |separator| separator.text.len());
    run.budget.take(text.text.len().saturating_add(looked_for))?;
    let parts: Vec<&str> = match &separator {
        None => text.text.split_whitespace().collect(),
        Some(separator) if separator.text.is_empty() => {
            return Err(Fault::new("`split` takes a separator that is not empty"));
        }
        Some(separator) => text.text.split(&*separator.text).collect(),
    };
    texts(&parts, &mut run.budget)
}

pub(super) fn lines(value: Value, args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    args.end()?;
    let text = as_text(&value, &mut run.budget)?;
    run.budget.take(text.text.len())?;
    texts(&text.text.lines().collect::<Vec<_>>(), &mut run.budget)
}

fn texts(parts: &[&str], budget: &mut Budget) -> Result<Value, Fault> {
    budget.take(parts.iter().map(|part| part.len()).sum())?;
    // Counted before the entries are made.
    budget.take(parts.len().saturating_mul(ENTRY_BYTES))?;
    Value::list(parts.iter().map(|part| Value::text(*part)).collect(), budget)
}

pub(super) fn indent(value: Value, mut args: Args, run: &mut Run<'_>) -> Result<Value, Fault> {
    let width = args.count("width")?.unwrap_or(4).min(INDENT_MAX);
    let first = args.take("first").is_some_and(|flag| flag.is_true());
    args.end()?;
    let text = as_text(&value, &mut run.budget)?;
    let count = text.text.matches('\n').count() + 1;
    run.budget
        .take(text.text.len().saturating_add(count.saturating_mul(width)))?;
    let mut out = String::new();
    for (index, line) in text.text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if !line.is_empty() && (index > 0 || first) {
            out.extend(std::iter::repeat_n(' ', width));
        }
        out.push_str(line);
    }
    Ok(Value::text(out))
}

/// A text as a part of a URL.
pub(super) fn url_part(text: &str) -> String {
    utf8_percent_encode(text, URL_PART).to_string()
}
