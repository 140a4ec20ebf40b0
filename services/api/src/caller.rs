//! Who calls, and for which org, as handlers see it.
//!
//! `signalbox-access` says what the key of a request may do. [`Caller::of`] joins that with what the route reaches and with
//! the `?org=` of the request. Both refusals that name an org are the same whether that org exists or not.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Extensions, StatusCode, request::Parts},
};
use signalbox_proto::{Name, Scope, key::Principal, names::InvalidName};
use signalbox_runtime::{Problem, RequestId};
use signalbox_store::audit::Actor;

use crate::{problems, problems::invalid, routes::Reach};

/// What records call the installation's own key.
const ROOT: &str = "admin key";

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The org that the request acts in.
    pub(crate) org: Name,
    /// The org that the request is about, on routes that reach several; `None` means all.
    pub(crate) any_org: Option<Name>,
    /// The org that the key is bound to.
    pub(crate) own_org: Option<Name>,
    /// Who holds the key.
    pub(crate) principal: Principal,
    /// The key's id; `None` for the installation's own, which is in no store.
    pub(crate) key: Option<String>,
    /// Where the request came from, as far as the server knows.
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: RequestId,
}

impl Caller {
    /// Joins what a key may do with what a route wants and the org that the request names.
    ///
    /// 403 `missing_scope` where the key may not, 403 `wrong_org` where the org is not the key's own.
    pub(crate) fn of(
        known: &signalbox_access::Caller,
        scope: &Scope,
        reach: Reach,
        asked: Option<&str>,
        extensions: &Extensions,
    ) -> Result<Self, Problem> {
        known.require(scope)?;
        if reach == Reach::Installation {
            known.require_all()?;
        }
        let asked: Option<Name> = asked
            .map(|text| {
                text.parse()
                    .map_err(|error: InvalidName| invalid("org", error.to_string()))
            })
            .transpose()?;
        let meant = known.org_or_all(asked.as_ref())?;
        Ok(Self {
            any_org: meant.clone().filter(|_| reach == Reach::AnyOrg),
            org: meant.unwrap_or_else(Name::default_org),
            own_org: known.own_org().cloned(),
            principal: known.principal().clone(),
            key: (!known.is_root()).then(|| known.key_id().to_owned()),
            address: extensions
                .get::<ConnectInfo<SocketAddr>>()
                .map(|ConnectInfo(address)| address.ip()),
            request_id: extensions.get::<RequestId>().cloned().unwrap_or_default(),
        })
    }

    /// Who calls, in a few words for records.
    pub(crate) fn name(&self) -> String {
        match &self.key {
            Some(_) => format!("{} {}", self.principal.kind.as_str(), self.principal.id),
            None => ROOT.to_owned(),
        }
    }

    /// The caller as the audit names it.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            kind: self.principal.kind.as_str().to_owned(),
            id: self.principal.id.clone(),
        }
    }

    /// Whether something of this org may be seen: on routes that reach several.
    pub(crate) fn sees(&self, org: Option<&str>) -> bool {
        self.any_org.as_ref().is_none_or(|any| org == Some(any.as_str()))
    }

    /// Refuses to act for another org than the key's own.
    pub(crate) fn act_for(&self, org: &Name) -> Result<(), Problem> {
        match &self.own_org {
            Some(own) if own != org => {
                let detail = format!("this key acts for org {own} alone");
                Err(Problem::new(StatusCode::FORBIDDEN, "wrong_org", detail).field("org"))
            }
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(problems::not_framed)
    }
}

#[cfg(test)]
mod tests;
