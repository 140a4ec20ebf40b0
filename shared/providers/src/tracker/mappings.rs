//! The states of a target in which a spec's four statuses are, by the names that people see there.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Status;
use crate::{FieldError, fields};

/// The names as an owner gives them. A status that is left out moves nothing.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mappings {
    /// The state of specs that are being written.
    #[schemars(example = &"Backlog")]
    draft: Option<String>,
    /// The state of specs that are being read.
    #[schemars(example = &"In Review")]
    review: Option<String>,
    /// The state of specs that are to be built.
    #[schemars(example = &"Todo")]
    approved: Option<String>,
    /// The state of specs that are built, and of alerts that are resolved.
    #[schemars(example = &"Done")]
    implemented: Option<String>,
}

/// The names, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct States([Option<String>; 4]);

impl Mappings {
    /// Checks all names: each is one line of at most so many characters.
    pub(crate) fn check(&self, pointer: &str, chars_max: usize) -> Result<States, Vec<FieldError>> {
        let mut errors = Vec::new();
        let given = [
            ("draft", &self.draft),
            ("review", &self.review),
            ("approved", &self.approved),
            ("implemented", &self.implemented),
        ];
        let names = given.map(|(name, given)| {
            let place = format!("{pointer}/{name}");
            fields::keep(fields::optional(&place, given.as_deref(), chars_max), &mut errors).flatten()
        });
        if errors.is_empty() {
            Ok(States(names))
        } else {
            Err(errors)
        }
    }
}

impl States {
    /// The name of the state in which a status is.
    pub(crate) fn of(&self, status: Status) -> Option<&str> {
        let place = match status {
            Status::Draft => 0,
            Status::Review => 1,
            Status::Approved => 2,
            Status::Implemented => 3,
        };
        self.0[place].as_deref()
    }

    /// All names, each as often as it is given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }

    /// What is told to who gives none, where issues were to be moved.
    pub(crate) fn warning(&self, pointer: &str, is_moving: bool) -> Option<FieldError> {
        let none = self.0.iter().all(Option::is_none);
        (none && is_moving).then(|| FieldError::new(pointer, "is not given: nothing is ever moved"))
    }
}

/// Whether a name that a target shows is the one that was given: people write it in any case.
pub(crate) fn is_same(shown: &str, given: &str) -> bool {
    shown.trim().to_lowercase() == given.trim().to_lowercase()
}
