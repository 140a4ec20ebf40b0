//! What a bulk act is about, as a request says it: ids, a filter, or all, in exactly one of these ways.

use serde_json::{Map, Value, json};

use super::{Failure, replay};

/// What the command line selects.
pub(super) struct Selected<'a> {
    /// The things, as a message names them.
    pub(super) what: &'a str,
    pub(super) ids: &'a [String],
    pub(super) filter: Map<String, Value>,
    pub(super) all: bool,
    pub(super) dry_run: bool,
    pub(super) rate: Option<u32>,
}

impl Selected<'_> {
    /// The request.
    pub(super) fn body(self) -> Result<Value, Failure> {
        let what = self.what;
        let ways = [!self.ids.is_empty(), !self.filter.is_empty(), self.all];
        match ways.iter().filter(|way| **way).count() {
            1 => {}
            0 => {
                let say = format!("say which {what}: ids, or a filter such as --integration, or --all");
                return Err(Failure::Usage(say));
            }
            _ => {
                return Err(Failure::Usage(format!(
                    "say which {what} in one way: ids, or filters such as --integration, or --all alone"
                )));
            }
        }
        let mut body = json!({ "dry_run": self.dry_run, "all": self.all });
        if !self.ids.is_empty() {
            body["ids"] = json!(self.ids);
        }
        if !self.filter.is_empty() {
            body["filter"] = self.filter.into();
        }
        if let Some(rate) = self.rate {
            body["rate"] = rate.into();
        }
        if let Some(user) = replay::user() {
            body["by"] = user.into();
        }
        Ok(body)
    }
}
