//! Tenants, as KV CONFIG carries them to those who take events in.

use serde::{Deserialize, Serialize};

use crate::Name;

/// One tenant at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    /// Its name.
    pub name: Name,
    /// Whether anything may be published for it.
    pub status: OrgStatus,
    /// One more at each change.
    #[serde(default)]
    pub revision: u64,
}

/// What may be done for an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrgStatus {
    /// Everything.
    Active,
    /// Nothing more is taken in for it; what there is of it is being removed.
    Erasing,
    /// Nothing is left of it, and nothing is taken in.
    Erased,
    /// Written by a newer version: as an active one, so that nothing is lost.
    #[serde(other)]
    Unknown,
}

impl OrgStatus {
    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Erasing => "erasing",
            Self::Erased => "erased",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing is taken in for it any more.
    pub const fn is_closed(self) -> bool {
        match self {
            Self::Erasing | Self::Erased => true,
            Self::Active | Self::Unknown => false,
        }
    }
}
