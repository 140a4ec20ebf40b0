//! What later versions bring, so that a refusal can say when: providers, and fields of integrations.
//!
//! A row goes when what it names is there. Other names of providers stand here too.

use crate::Kind;

/// A provider that this version does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: &'static str,
    /// What sort of target it is.
    pub kind: Kind,
    /// The first version that has it.
    pub version: &'static str,
}

/// Providers to come, the next version first, then by name.
const PROVIDERS: &[Planned] = &[];

/// Fields of an integration that a version will enforce, by name.
const FIELDS: &[(&str, &str)] = &[];

/// All providers to come, the next version first, then by name.
pub fn planned() -> &'static [Planned] {
    PROVIDERS
}

/// The provider to come of this name.
pub fn provider(name: &str) -> Option<&'static Planned> {
    PROVIDERS.iter().find(|planned| planned.name == name)
}

/// The version that will enforce a field of an integration which this version knows by name alone.
pub fn field(name: &str) -> Option<&'static str> {
    let found = FIELDS.iter().find(|(field, _)| *field == name)?;
    Some(found.1)
}

/// The name that stands in the table of providers for what somebody wrote.
pub fn canonical(name: &str) -> &str {
    match name {
        "newrelic" => "new_relic",
        "webhooks" => "webhook",
        name => name,
    }
}

#[cfg(test)]
mod tests;
