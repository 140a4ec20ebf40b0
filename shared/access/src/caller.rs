//! One who calls, and what that one may do.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use signalbox_proto::{Key, Name, Scope, Timestamp, key::Principal, refused::Why};
use signalbox_runtime::Problem;

use crate::{known::Entry, rate::Rate, refused::Refusals};

/// Who a request comes from. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Caller {
    key: Arc<Key>,
    is_root: bool,
    rate: Option<Arc<Rate>>,
    refusals: Arc<Refusals>,
}

impl Caller {
    pub(crate) fn new(entry: &Entry, is_root: bool, refusals: Arc<Refusals>) -> Self {
        Self {
            key: entry.key.clone(),
            is_root,
            rate: entry.rate.clone(),
            refusals,
        }
    }

    /// The id of the key; [`crate::ROOT_ID`] for the installation's own.
    pub fn key_id(&self) -> &str {
        &self.key.id
    }

    /// What the key's owner calls it.
    pub fn key_name(&self) -> &str {
        &self.key.name
    }

    /// Who holds the key.
    pub fn principal(&self) -> &Principal {
        &self.key.principal
    }

    /// The org that the key is bound to.
    pub fn own_org(&self) -> Option<&Name> {
        self.key.org.as_ref()
    }

    /// What the key may do.
    pub fn scopes(&self) -> &[Scope] {
        &self.key.scopes
    }

    /// Whether it is the installation's own key.
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// Whether it may do what needs this scope.
    pub fn has(&self, scope: &Scope) -> bool {
        self.key.scopes.iter().any(|held| held.grants(scope))
    }

    /// Whether it acts for the whole installation: it has the scope `admin` and no org.
    pub fn is_of_all(&self) -> bool {
        self.key.org.is_none() && self.has(&Scope::Admin)
    }

    /// 403 `missing_scope` where it may not do what needs this scope.
    pub fn require(&self, scope: &Scope) -> Result<(), Problem> {
        if self.has(scope) {
            return Ok(());
        }
        self.note(Why::MissingScope);
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "missing_scope",
            format!("this needs a key with the scope `{scope}`"),
        );
        Err(problem.with("scope", scope.as_str()))
    }

    /// The org that a request acts in: the key's own, or the one asked for where the key is of none. 403 `wrong_org`
    /// for any other, whether there is one or not.
    pub fn org(&self, asked: Option<&Name>) -> Result<Name, Problem> {
        Ok(self.org_or_all(asked)?.unwrap_or_else(Name::default_org))
    }

    /// The same where a request may also be about all orgs: `None` for those, where the key is of none and none is
    /// asked for.
    pub fn org_or_all(&self, asked: Option<&Name>) -> Result<Option<Name>, Problem> {
        match (&self.key.org, asked) {
            (Some(own), None) => Ok(Some(own.clone())),
            (Some(own), Some(asked)) if own == asked => Ok(Some(own.clone())),
            (None, asked) if self.is_of_all() => Ok(asked.cloned()),
            (Some(_), Some(_)) => Err(self.wrong_org("this key acts in its own org alone: leave `org` out")),
            // No version of ours makes one: without an org and without `admin` there is nothing that it may see.
            (None, _) => Err(self.wrong_org("this key belongs to no org")),
        }
    }

    /// 403 `wrong_org` where it does not act for the whole installation, for what no org has of its own.
    pub fn require_all(&self) -> Result<(), Problem> {
        if self.is_of_all() {
            return Ok(());
        }
        self.require(&Scope::Admin)?;
        Err(self.wrong_org("this is for an admin key that is bound to no org"))
    }

    /// Counts a request against the key's rate: 429 `too_many_requests` with `Retry-After` where it is used up.
    pub fn spend(&self) -> Result<(), Problem> {
        let Some(rate) = &self.rate else { return Ok(()) };
        rate.take().map_err(|wait| {
            self.note(Why::TooMany);
            let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                format!(
                    "this key sends more than {} requests a second: send fewer, or have auth.requests_per_second raised",
                    rate.per_second()
                ),
            )
            .header(header::RETRY_AFTER, HeaderValue::from(secs.max(1)))
        })
    }

    fn wrong_org(&self, detail: &str) -> Problem {
        self.note(Why::WrongOrg);
        Problem::new(StatusCode::FORBIDDEN, "wrong_org", detail).field("org")
    }

    fn note(&self, why: Why) {
        self.refusals.note(&self.key, why, Timestamp::now());
    }
}
