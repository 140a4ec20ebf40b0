//! Which orgs anything is taken in for at all.
//!
//! An org that is being erased, or was, takes nothing more: over HTTP the answer is 403 `org_closed`, over NATS a dead
//! letter that keeps nothing of the input. With `ingest.unknown_orgs = "reject"` the same holds for an org that nobody
//! made (403 `no_org`), but its inputs are kept: somebody may make the org and send them in again.

use std::fmt;

use signalbox_access::Access;
use signalbox_proto::{Name, org::OrgStatus};

use crate::config::UnknownOrgs;

/// What decides it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Orgs {
    access: Access,
    unknown: UnknownOrgs,
}

/// Why nothing is taken in for an org.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// It is being erased, or was.
    Closed(Name),
    /// Nobody made it.
    Unknown(Name),
}

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(org) => write!(
                f,
                "org {org} is erased or being erased: nothing is taken in for it any more"
            ),
            Self::Unknown(org) => write!(
                f,
                "there is no org {org}: have it made first, or set ingest.unknown_orgs to \"accept\""
            ),
        }
    }
}

impl Orgs {
    pub(crate) fn new(access: Access, unknown: UnknownOrgs) -> Self {
        Self { access, unknown }
    }

    /// Whether anything may be taken in for an org.
    pub(crate) fn check(&self, org: &Name) -> Result<(), Shut> {
        decide(org, self.access.org(org), self.unknown)
    }

    /// Whether nothing that came in for an org may be kept.
    pub(crate) fn is_closed(&self, org: &Name) -> bool {
        self.access.org(org).is_some_and(OrgStatus::is_closed)
    }
}

fn decide(org: &Name, status: Option<OrgStatus>, unknown: UnknownOrgs) -> Result<(), Shut> {
    match (status, unknown) {
        (Some(status), _) if status.is_closed() => Err(Shut::Closed(org.clone())),
        (Some(_), _) | (None, UnknownOrgs::Accept) => Ok(()),
        (None, UnknownOrgs::Reject) => Err(Shut::Unknown(org.clone())),
    }
}

#[cfg(test)]
mod tests;
