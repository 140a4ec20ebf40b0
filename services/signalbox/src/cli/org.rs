//! Whose things a command is about.

use std::fmt;

use signalbox_proto::Name;

/// The org that is named, or the one that the key acts for.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Org {
    /// The org [default: the key's own, or "default" for a key of the installation].
    #[arg(long)]
    org: Option<Name>,
}

impl Org {
    /// As a parameter of a request. What is not named is left to the key.
    pub(super) fn query(&self) -> (&'static str, Option<&str>) {
        ("org", self.org.as_ref().map(Name::as_str))
    }

    /// As an argument of another command, with a space before it; nothing where none was named.
    pub(super) fn argument(&self) -> String {
        self.org.as_ref().map(|org| format!(" --org {org}")).unwrap_or_default()
    }
}

impl From<Name> for Org {
    fn from(org: Name) -> Self {
        Self { org: Some(org) }
    }
}

impl fmt::Display for Org {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.org {
            Some(org) => write!(f, "org {org}"),
            None => f.write_str("the org"),
        }
    }
}
