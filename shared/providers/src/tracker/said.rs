//! What an event's data says of a spec, its pull request and its acceptance criteria.

use std::collections::BTreeSet;

use serde_json::Value;
use signalbox_proto::Event;

use super::{SUBTASKS_MAX, plan::Status};
use crate::display::{address_of, text};

/// Longest id and title that are read, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Longest acceptance criterion, in characters.
const CRITERION_CHARS_MAX: usize = 250;
/// Members of a criterion that is an object, in which its words may stand.
const WORDS: [&str; 5] = ["title", "text", "description", "criterion", "name"];

/// A pull request that can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PullRequest {
    /// Its address.
    pub(crate) url: String,
    /// What it is called: `#42`, or nothing.
    pub(crate) number: Option<String>,
}

/// What the data says. Texts are clean and on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// `data.spec.id`.
    pub(crate) spec_id: Option<String>,
    /// `data.spec.title`.
    pub(crate) spec_title: Option<String>,
    /// `data.spec.status`, where it is one of the four.
    pub(super) status: Option<Status>,
    /// `data.pr`, where it has an address.
    pub(crate) pr: Option<PullRequest>,
    /// `data.acceptance_criteria`, else those of the spec: each once, at most [`SUBTASKS_MAX`].
    pub(crate) criteria: Vec<String>,
    /// How many there are beyond.
    pub(crate) criteria_more: usize,
}

impl Said {
    /// What an event says. Data that is no object says nothing.
    pub(crate) fn of(event: &Event) -> Self {
        // Data without any of the names, in letters or in escapes, need not be read.
        let text = std::str::from_utf8(event.data.as_bytes()).unwrap_or_default();
        let names = ["\"spec\"", "\"pr\"", "\"acceptance_criteria\"", "\\u"];
        if !names.iter().any(|name| text.contains(name)) {
            return Self::default();
        }
        let data = event.data.value().unwrap_or_default();
        let spec = &data["spec"];
        let (criteria, criteria_more) = criteria([&data["acceptance_criteria"], &spec["acceptance_criteria"]]);
        Self {
            spec_id: name(&spec["id"]).or_else(|| name(spec)),
            spec_title: name(&spec["title"]),
            status: spec["status"].as_str().and_then(Status::read),
            pr: pull_request(&data["pr"]),
            criteria,
            criteria_more,
        }
    }

    /// `FEAT-1: Sign-in`, or what there is of it.
    pub(crate) fn spec_name(&self) -> Option<String> {
        match (&self.spec_id, &self.spec_title) {
            (Some(id), Some(title)) => Some(format!("{}: {}", text::isolated(id), text::isolated(title))),
            (id, title) => id.clone().or_else(|| title.clone()),
        }
    }
}

fn name(value: &Value) -> Option<String> {
    line(value, NAME_CHARS_MAX)
}

/// A text or a number on one line; `None` where nothing is left of it.
fn line(value: &Value, chars_max: usize) -> Option<String> {
    let scalar = match value {
        Value::String(text) => text::line(text, chars_max).into_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!scalar.is_empty()).then_some(scalar)
}

fn pull_request(pr: &Value) -> Option<PullRequest> {
    let url = address_of(pr["url"].as_str()?)?;
    let number = name(&pr["number"]).map(|number| format!("#{}", number.trim_start_matches('#')));
    Some(PullRequest { url, number })
}

/// The criteria of the first list that has any, and how many there are beyond.
fn criteria(lists: [&Value; 2]) -> (Vec<String>, usize) {
    for list in lists {
        let line = |value: &Value| self::line(value, CRITERION_CHARS_MAX);
        let words = |item: &Value| line(item).or_else(|| WORDS.iter().find_map(|name| line(&item[*name])));
        let mut seen = BTreeSet::new();
        let all = list.as_array().into_iter().flatten().filter_map(words);
        let mut kept: Vec<String> = all.filter(|words| seen.insert(words.clone())).collect();
        if !kept.is_empty() {
            let more = kept.len().saturating_sub(SUBTASKS_MAX);
            kept.truncate(SUBTASKS_MAX);
            return (kept, more);
        }
    }
    (Vec::new(), 0)
}
