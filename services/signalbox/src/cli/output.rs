//! The one place that writes results to standard output.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

use super::{Failure, Format};

/// Longest text in a cell of a table, in characters.
const CELL_CHARS_MAX: usize = 80;

/// Prints results for people or for programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// One line of text.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// A JSON value on one line, as programs like it, or over several on a terminal.
    pub(crate) fn json(self, value: &Value) -> Result<(), Failure> {
        if io::stdout().is_terminal() {
            self.line(&format!("{value:#}"))
        } else {
            self.line(&value.to_string())
        }
    }

    /// What is said in one line whatever reads it, because programs wait for that line.
    pub(crate) fn ready(self, ready: &impl Serialize, people: &str) -> Result<(), Failure> {
        if self.is_json() {
            self.line(&serde_json::to_string(ready).map_err(anyhow::Error::new)?)
        } else {
            self.line(people)
        }
    }

    /// What an answer says: as it is for programs, as `people` puts it for people.
    pub(crate) fn answer(self, value: &Value, people: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.is_json() {
            self.json(value)
        } else {
            self.line(people(value).trim_end())
        }
    }

    /// Rows under a head.
    pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(head);
        for row in rows {
            table.add_row(row.iter().map(|cell| cut(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        // The last column is padded too.
        table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Names and values below each other.
    pub(crate) fn fields(fields: &[(&str, String)]) -> String {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let lines = fields.iter().filter(|(_, value)| !value.is_empty());
        lines
            .map(|(name, value)| format!("{name:width$}  {value}"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The text of a JSON value in a cell: nothing for `null`.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A time to the second, which is what people compare.
pub(crate) fn time(value: &Value) -> String {
    let text = text(value);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// The items of a list's answer.
pub(crate) fn items(value: &Value) -> &[Value] {
    value["items"].as_array().map_or(&[], Vec::as_slice)
}

fn cut(text: &str) -> String {
    let line = text.replace(['\n', '\r', '\t'], " ");
    match line.char_indices().nth(CELL_CHARS_MAX) {
        None => line,
        Some(_) => line.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect(),
    }
}
