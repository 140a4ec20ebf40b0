//! An integration as it is posted, and where each of its fields stands in the file that it was read from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::dotted;

/// One integration of a file.
#[derive(Debug)]
pub(crate) struct Made {
    pub(super) value: Value,
    /// Where it stands.
    pub(super) place: String,
    /// Where its fields come from that do not stand below its place under their own names.
    pub(super) fields: BTreeMap<String, Source>,
    /// Whether it was a block of the guide's form, which knows neither `config` nor `credentials`.
    pub(super) is_block: bool,
    /// The variables that fields were filled from: `config/url`, and their names.
    pub(super) variables: BTreeMap<String, Vec<String>>,
    /// What is not there that a disabled integration can do without while its values are stored.
    pub(super) unset: Vec<String>,
}

/// Where a field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A place in the file.
    Place(String),
    /// A variable of the environment.
    Variable(String),
}

impl Made {
    /// An entry of a list, which is posted as it stands.
    pub(super) fn entry(value: Value, place: String) -> Self {
        Self {
            value,
            place,
            fields: BTreeMap::new(),
            is_block: false,
            variables: BTreeMap::new(),
            unset: Vec::new(),
        }
    }

    /// As it is posted.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn provider(&self) -> &str {
        self.value["provider"].as_str().unwrap_or_default()
    }

    /// What it lacks, so that it can only be posted where these values are stored already.
    pub(crate) fn unset(&self) -> &[String] {
        &self.unset
    }

    /// Where a field that the API complains about stands, for its line, and as people write it.
    pub(super) fn origin(&self, field: &str) -> (String, String) {
        let mut known = field;
        loop {
            match self.fields.get(known) {
                Some(Source::Place(place)) => {
                    let place = format!("{place}{}", field.strip_prefix(known).unwrap_or_default());
                    return (place.clone(), dotted(&place));
                }
                Some(Source::Variable(name)) => {
                    let place = self.below(field);
                    let text = format!("{} (from {name})", dotted(&place));
                    return (place, text);
                }
                None => {}
            }
            match known.rsplit_once('/') {
                Some((parent, _)) => known = parent,
                None => {
                    let place = self.below(field);
                    return (place.clone(), dotted(&place));
                }
            }
        }
    }

    /// The place that a field without a source has, or would have.
    fn below(&self, field: &str) -> String {
        let field = if self.is_block { own_name(field) } else { field };
        format!("{}/{field}", self.place).trim_end_matches('/').to_owned()
    }

    /// What a block became, for `plan`.
    pub(super) fn shown(&self) -> Value {
        let variables: serde_json::Map<String, Value> = self
            .variables
            .iter()
            .map(|(field, names)| (dotted(own_name(field)), json!(names)))
            .collect();
        let mut shown = json!({
            "block": dotted(&self.place),
            "name": self.value["name"],
            "provider": self.value["provider"],
            "events": self.value["events"],
            "enabled": self.value["enabled"],
            "variables": variables,
        });
        if let Some(limit) = self.value.get("rate_limit") {
            shown["rate_limit"] = limit.clone();
        }
        shown
    }
}

/// A field without the part that blocks do not have.
fn own_name(field: &str) -> &str {
    field
        .strip_prefix("config/")
        .or_else(|| field.strip_prefix("credentials/"))
        .unwrap_or(field)
}
