//! Uses of API keys that were refused, as OUTCOMES carries them to the audit.

use serde::{Deserialize, Serialize};

use crate::{
    Name, Timestamp,
    key::{Ended, Principal},
};

/// Uses of one key that one process refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The process that refused them.
    pub process: String,
    /// The key's id.
    pub key_id: String,
    /// Its name.
    pub key_name: String,
    /// Its org; `None` for a key of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<Name>,
    /// Who holds it.
    pub principal: Principal,
    /// Why.
    pub why: Why,
    /// How often.
    pub count: u64,
    /// When the first of them was.
    pub first_at: Timestamp,
    /// When the last of them was.
    pub last_at: Timestamp,
}

/// Why a key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// It lacks the scope.
    MissingScope,
    /// It asked for what another org has.
    WrongOrg,
    /// It sent too many requests.
    TooMany,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

impl Why {
    /// The word in lower case; where a request is answered so, the code of its problem.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::MissingScope => "missing_scope",
            Self::WrongOrg => "wrong_org",
            Self::TooMany => "too_many_requests",
            Self::Unknown => "unknown",
        }
    }
}

impl From<Ended> for Why {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Expired => Self::Expired,
            Ended::Revoked => Self::Revoked,
        }
    }
}
