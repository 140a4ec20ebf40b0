//! What a scenario found: figures, goals, a verdict; as JSON for scripts and as a table for people.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value, json};

use super::{Promise, Size};

/// What a scenario found.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    scenario: Promise,
    full: bool,
    size: Value,
    /// In the order in which people read them.
    #[serde(flatten, serialize_with = "as_fields")]
    figures: Vec<(String, Value)>,
    goals: Vec<Goal>,
    verdict: &'static str,
    warnings: Vec<String>,
}

/// One thing that is promised, and what was seen.
#[derive(Debug, Serialize)]
struct Goal {
    goal: String,
    seen: Value,
    met: bool,
    /// Whether it holds on any machine, in any size: a broken one makes the exit code 1.
    always: bool,
}

impl Findings {
    pub(super) fn new(scenario: Promise, size: &Size) -> Self {
        let mut shown: Map<String, Value> = size
            .numbers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        if let Some(quota) = size.quota {
            shown.insert("quota".to_owned(), json!(quota));
        }
        if scenario == Promise::Parked {
            shown.insert("open".to_owned(), json!(size.open));
        }
        Self {
            scenario,
            full: size.full,
            size: Value::Object(shown),
            figures: Vec::new(),
            goals: Vec::new(),
            verdict: "met",
            warnings: Vec::new(),
        }
    }

    /// Adds a figure.
    pub(super) fn figure(&mut self, name: &str, value: impl Serialize) {
        self.figures.push((name.to_owned(), json!(value)));
    }

    /// Adds the counts of the ledger as doctor tells them, and that it is even.
    pub(super) fn ledger(&mut self, doctor: &Value) {
        let bad = ["missing", "unrouted", "unreadable"].map(|name| doctor["ledger"][name].as_u64());
        self.always("the ledger is even", bad, bad == [Some(0); 3]);
        let counts: Map<String, Value> = doctor["ledger"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| value.is_number())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.figures.push(("ledger".to_owned(), Value::Object(counts)));
    }

    /// Adds a promise of correctness: it holds always and everywhere.
    pub(super) fn always(&mut self, goal: impl Into<String>, seen: impl Serialize, met: bool) {
        self.judge(goal.into(), json!(seen), met, true);
    }

    /// Adds a promise of speed or cost, which depends on the size and on what else the machine does.
    pub(super) fn aim(&mut self, goal: impl Into<String>, seen: impl Serialize, met: bool) {
        self.judge(goal.into(), json!(seen), met, false);
    }

    fn judge(&mut self, goal: String, seen: Value, met: bool, always: bool) {
        if !met {
            self.verdict = "missed";
        }
        self.goals.push(Goal {
            goal,
            seen: rounded(seen),
            met,
            always,
        });
    }

    /// Says why a figure may mislead.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Whether what must hold always did.
    pub(crate) fn is_correct(&self) -> bool {
        self.goals.iter().all(|goal| goal.met || !goal.always)
    }

    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let mut rows = Vec::new();
        flatten("", &self.size, &mut rows);
        for (name, value) in &self.figures {
            flatten(name, value, &mut rows);
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        for (name, value) in rows {
            table.add_row([name.replace('_', " "), value]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n\n");
        for warning in &self.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        for goal in &self.goals {
            text.push_str(&format!(
                "goal {}: {} {}\n",
                goal.goal,
                shown(&goal.seen),
                word(goal.met)
            ));
        }
        text.push_str(&format!("verdict {}\n", self.verdict));
        text
    }
}

fn as_fields<S: Serializer>(figures: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(figures.len()))?;
    for (name, value) in figures {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// One row for each leaf; what has no name of its own is on one line.
fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}, {key}")
                };
                flatten(&name, value, rows);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (number, value) in list.iter().enumerate() {
                flatten(&format!("{name} {}", number + 1), value, rows);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_array) => {
            let texts: Vec<String> = list.iter().map(shown).collect();
            rows.push((name.to_owned(), texts.join(" | ")));
        }
        other => rows.push((name.to_owned(), shown(other))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().map_or_else(String::new, |number| {
            if number.abs() >= 100.0 {
                format!("{number:.0}")
            } else {
                format!("{number:.2}")
            }
        }),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Without digits that nobody measured; what is no number, such as a ratio to nothing, is none.
fn rounded(value: Value) -> Value {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => json!((number * 1_000.0).round() / 1_000.0),
        None => value,
    }
}

#[cfg(test)]
mod tests;
