//! `signalbox providers`: the kinds of targets, and what one of them takes.

use serde_json::Value;
use signalbox_providers::SECRET_MARK;

use super::{
    Client, Failure, Output,
    output::{items, text},
};

/// Longest line of a description, in characters.
const LINE_CHARS_MAX: usize = 96;
/// Before each line that tells of a field.
const INDENT: &str = "    ";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox providers
  signalbox providers webhook
  signalbox providers webhook --output json
      its schemas as they are")]
pub(crate) struct Args {
    /// One of them [default: all].
    #[arg(value_name = "NAME")]
    provider: Option<String>,
}

pub(crate) async fn run(args: Args, client: &Client, out: &Output) -> Result<(), Failure> {
    match args.provider {
        None => out.answer(&client.get(&["providers"], &[]).await?, table),
        Some(name) => match client.get(&["providers", &name], &[]).await {
            Ok(answer) => out.answer(&answer, people),
            Err(Failure::Problem(problem)) if problem.status == 404 => {
                let all = client.get(&["providers"], &[]).await?;
                let names: Vec<String> = items(&all).iter().map(|one| text(&one["name"])).collect();
                Err(Failure::NotFound(format!(
                    "there is no provider {name:?}: there are {}",
                    names.join(", ")
                )))
            }
            Err(failure) => Err(failure),
        },
    }
}

fn table(answer: &Value) -> String {
    let rows = items(answer).iter().map(|item| {
        let fields = ["name", "type", "actions", "description"];
        fields.map(|field| text(&item[field])).to_vec()
    });
    Output::table(&["NAME", "TYPE", "ACTIONS", "WHAT"], rows)
}

/// What it is, where its vendor tells more, and every field of its config and credentials.
fn people(answer: &Value) -> String {
    let limit = match &answer["limits"]["per_minute"] {
        Value::Null => "none".to_owned(),
        per_minute => format!("{per_minute} requests a minute, unless rate_limit says otherwise"),
    };
    let fields = [
        ("name", text(&answer["name"])),
        ("type", text(&answer["type"])),
        ("what", text(&answer["description"])),
        ("actions", text(&answer["actions"])),
        ("limit", limit),
        ("docs", text(&answer["docs_url"])),
    ];
    let mut blocks = vec![Output::fields(&fields)];
    for place in ["config", "credentials"] {
        fields_of(place, &answer[format!("{place}_schema")], &mut blocks);
    }
    blocks.join("\n\n")
}

/// Adds a block for every field of a schema, those inside a field behind it.
fn fields_of(place: &str, schema: &Value, blocks: &mut Vec<String>) {
    let Some(object) = variants(schema)
        .into_iter()
        .find(|variant| variant["properties"].is_object())
    else {
        return;
    };
    let required = object["required"].as_array().map_or(&[][..], Vec::as_slice);
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let is_required = required.iter().any(|required| required == name.as_str());
        let notes: Vec<&str> = [(is_required, "required"), (is_secret(field), "secret")]
            .into_iter()
            .filter_map(|(holds, note)| holds.then_some(note))
            .collect();
        let mut head = format!("{place}.{name}");
        if !notes.is_empty() {
            head += &format!(" ({})", notes.join(", "));
        }
        let mut lines = vec![head, wrapped(&text(&field["description"]), INDENT)];
        let told = [
            ("one of", choices(field)),
            ("for example", examples(field)),
            ("default", default(field)),
        ];
        let told = told.into_iter().filter(|(_, said)| !said.is_empty());
        lines.extend(told.map(|(what, said)| wrapped(&format!("{what}: {said}"), INDENT)));
        lines.retain(|line| !line.is_empty());
        blocks.push(lines.join("\n"));
        fields_of(&format!("{place}.{name}"), field, blocks);
    }
}

/// A schema and those that it leaves a choice of: an optional field has one for nothing.
fn variants(schema: &Value) -> Vec<&Value> {
    let inner = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array());
    let inner = inner.flatten().flat_map(variants);
    std::iter::once(schema).chain(inner).collect()
}

/// Whether it, or what a list or a map of it holds, is kept secret.
fn is_secret(field: &Value) -> bool {
    let marked = |schema: &Value| schema[SECRET_MARK] == true;
    variants(field)
        .into_iter()
        .any(|variant| marked(variant) || marked(&variant["items"]) || marked(&variant["additionalProperties"]))
}

/// The words that a field may be.
fn choices(field: &Value) -> String {
    let mut words: Vec<&str> = Vec::new();
    for variant in variants(field) {
        let listed = variant["enum"].as_array().into_iter().flatten();
        words.extend(listed.chain([&variant["const"]]).filter_map(Value::as_str));
    }
    words.join(", ")
}

fn examples(field: &Value) -> String {
    let given = variants(field)
        .into_iter()
        .find_map(|variant| variant["examples"].as_array());
    let each = given.into_iter().flatten().map(as_written);
    each.collect::<Vec<_>>().join(", ")
}

/// What holds where the field is left out; lists and groups that are empty then say nothing.
fn default(field: &Value) -> String {
    match &field["default"] {
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        Value::Null => String::new(),
        value => as_written(value),
    }
}

/// A text without quotes, all else as JSON.
fn as_written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Text in lines that a terminal shows whole, each behind `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LINE_CHARS_MAX => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests;
