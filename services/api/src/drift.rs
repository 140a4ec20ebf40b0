//! Where KV and the database differ, and making the database count again.
//!
//! A change that is under way looks like a difference, so one counts only where two looks, some seconds apart, see the
//! same. What is behind or missing in KV is put again; where KV is ahead, as after an older backup was put back, the revision here is
//! lifted above it; what only KV knows is taken over, as nobody may throw away what workers deliver by.
//!
//! Changes made after a backup was put back count up to revisions that KV has already, and say something else. So of equal
//! revisions what they say is compared, each as this version writes it: KV that says something else is ahead too.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_broker::{callers, revisions::Copied};
use signalbox_proto::{Integration, Key, Org, Phase, Timestamp, integration::Status, subjects, types::Registered};
use signalbox_runtime::Problem;
use signalbox_store::{
    copies::{Lifted, Original},
    event_types,
    outbox::Kind,
    take_over::Found,
};
use utoipa::ToSchema;

use crate::{
    App, Shared,
    audit::Deed,
    caller::Caller,
    distribution::Error,
    problems,
    problems::chain,
    request::{Body, Query},
};

/// Between the two looks. What a change leaves to others is put within two seconds.
const AGAIN_AFTER: Duration = Duration::from_secs(3);
/// Differences that an answer names at most.
const NAMED_MAX: usize = 1_000;

/// How the two differ about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DriftKind)]
pub(crate) enum How {
    /// Workers do not know it
    Missing,
    /// Workers know an older revision
    Behind,
    /// Workers know a revision that the database does not have, or has with other content
    Ahead,
    /// The database does not know it
    Unknown,
    /// A person holds it, and workers deliver it
    NotHeld,
    /// Nobody holds it, and workers do not deliver it
    Held,
}

/// One thing about which they differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Drift {
    /// `integration`, `event_type`, `key`, `org` or `hold`
    #[schema(value_type = String)]
    #[serde(serialize_with = "word")]
    pub(crate) kind: Kind,
    /// An integration's id, `org/type`, the SHA-256 of a key, an org's name
    pub(crate) id: String,
    pub(crate) how: How,
    /// The database's revision; null where it does not know the thing
    pub(crate) revision: Option<u64>,
    /// The revision that workers have; null where they do not know the thing
    pub(crate) in_kv: Option<u64>,
}

fn word<S: serde::Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

impl Drift {
    /// In a sentence.
    pub(crate) fn says(&self) -> String {
        let Self { kind, id, .. } = self;
        let kind = match kind {
            Kind::Hold => "integration",
            other => other.as_str(),
        };
        let (here, there) = (self.revision.unwrap_or_default(), self.in_kv.unwrap_or_default());
        match self.how {
            How::Missing => format!("workers do not know {kind} {id}"),
            How::Behind => format!("workers have {kind} {id} at revision {there}, the database at {here}"),
            How::Ahead if here == there => {
                format!("workers have {kind} {id} at revision {there} with other content than the database")
            }
            How::Ahead => {
                format!("workers have {kind} {id} at revision {there}, which the database, at {here}, does not have")
            }
            How::Unknown => format!("workers know {kind} {id}, and the database does not"),
            How::NotHeld => format!("{kind} {id} is paused by a person, and workers deliver it"),
            How::Held => format!("nobody paused {kind} {id}, and workers hold it as if somebody had"),
        }
    }
}

/// What a repair did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Repaired)]
pub(crate) struct Answer {
    /// What was mended
    repaired: Vec<Drift>,
    /// What could not be, with the reason
    left: Vec<Left>,
    /// Whether there is more than an answer names: repair again
    truncated: bool,
}

/// A difference that stays.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotRepaired)]
struct Left {
    #[serde(flatten)]
    drift: Drift,
    reason: String,
}

/// No field at all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RepairWanted)]
pub(crate) struct Wanted {}

/// `POST /v1/doctor/repair`.
pub(crate) async fn repair(
    State(shared): App,
    caller: Caller,
    query: Query,
    Body(Wanted {}): Body<Wanted>,
) -> Result<Json<Answer>, Problem> {
    query.end()?;
    shared.directory.complete()?;
    let mut found = shared.drift().await.map_err(|error| failed(&error))?;
    let truncated = found.len() > NAMED_MAX;
    found.truncate(NAMED_MAX);
    let mut answer = Answer {
        repaired: Vec::new(),
        left: Vec::new(),
        truncated,
    };
    if found.is_empty() {
        return Ok(Json(answer));
    }
    // Before the first is mended: an entry of what then could not be done is better than a change that nobody did.
    let deed = Deed {
        action: "installation.repaired",
        org: None,
        object: ("installation", "drift", None),
        before: Some(json!({ "differences": found })),
        after: None,
    };
    let entry = caller.did(deed, Timestamp::now());
    shared.store().audit_once(&entry).await.map_err(problems::store)?;
    for drift in found {
        match shared.mend(&caller, &drift).await {
            Ok(None) => {
                tracing::info!(what = drift.says(), "mended: the database counts");
                answer.repaired.push(drift);
            }
            Ok(Some(reason)) => answer.left.push(Left { drift, reason }),
            Err(error) => {
                tracing::warn!(error = chain(&error), what = drift.says(), "this cannot be mended now");
                answer.left.push(Left {
                    drift,
                    reason: error.to_string(),
                });
            }
        }
    }
    Ok(Json(answer))
}

fn failed(error: &Error) -> Problem {
    tracing::warn!(error = chain(error), "the database and KV cannot be compared");
    Problem::unavailable("the database or NATS does not answer at the moment: try again", 5)
}

/// How a thing stands here and there, where that differs.
fn compare(kind: Kind, original: Option<&Original>, copied: Option<&Copied>) -> Option<How> {
    match (original, copied) {
        (None, None) => None,
        (None, Some(copied)) => (!copied.held.is_gone).then_some(How::Unknown),
        (Some(original), None) => (!original.is_gone).then_some(How::Missing),
        (Some(original), Some(copied)) => match copied.held.revision.cmp(&original.revision) {
            _ if original.is_gone && copied.held.is_gone => None,
            std::cmp::Ordering::Greater => Some(How::Ahead),
            std::cmp::Ordering::Less => Some(How::Behind),
            // The same number and not the same: a put would be passed by.
            std::cmp::Ordering::Equal => (!says_the_same(kind, original, copied)).then_some(How::Ahead),
        },
    }
}

/// Whether two of the same revision say the same. What this version cannot read here, it does not judge.
fn says_the_same(kind: Kind, original: &Original, copied: &Copied) -> bool {
    // A deleted integration leaves a value that says so, anything else that is deleted leaves none.
    let is_value_here = !original.is_gone || kind == Kind::Integration;
    let is_value_there = !copied.held.is_gone;
    is_value_here == is_value_there && (original.content.is_none() || original.content == copied.content)
}

impl Shared {
    /// What differs now, and differed the same some seconds before.
    pub(crate) async fn drift(&self) -> Result<Vec<Drift>, Error> {
        let first = self.differences().await?;
        if first.is_empty() {
            return Ok(first);
        }
        tokio::time::sleep(AGAIN_AFTER).await;
        let second = self.differences().await?;
        Ok(second.into_iter().filter(|drift| first.contains(drift)).collect())
    }

    async fn differences(&self) -> Result<Vec<Drift>, Error> {
        let mut found = Vec::new();
        for kind in [Kind::Org, Kind::Key, Kind::EventType, Kind::Integration] {
            let copies = self.copies(kind).await?;
            let originals = self.store().originals(kind).await?;
            let mut ids: Vec<&String> = originals.keys().chain(copies.keys()).collect();
            ids.sort_unstable();
            ids.dedup();
            for id in ids {
                let (original, copied) = (originals.get(id), copies.get(id));
                if let Some(how) = compare(kind, original, copied) {
                    found.push(Drift {
                        kind,
                        id: id.clone(),
                        how,
                        revision: original.map(|original| original.revision),
                        in_kv: copied.map(|copied| copied.held.revision),
                    });
                }
            }
            if kind == Kind::Integration {
                found.extend(originals.iter().filter_map(|(id, original)| self.hold_of(id, original)));
            }
        }
        Ok(found)
    }

    /// What KV has copies of, by the ids of the database.
    async fn copies(&self, kind: Kind) -> Result<BTreeMap<String, Copied>, Error> {
        let (broker, config) = (&self.broker, subjects::CONFIG);
        let copies = match kind {
            Kind::Integration => {
                let filter = subjects::integration_key("*");
                broker.copies::<Integration>(config, &filter).await?
            }
            Kind::EventType => {
                let filter = subjects::type_key("*", ">");
                broker.copies::<Registered>(config, &filter).await?
            }
            Kind::Key => broker.copies::<Key>(config, &subjects::key_key("*")).await?,
            Kind::Org => broker.copies::<Org>(config, &subjects::org_key("*")).await?,
            Kind::Hold => BTreeMap::new(),
        };
        let id = |key: &str| match kind {
            Kind::EventType => subjects::read_type_key(key).map(|(org, name)| event_types::id(&org, &name)),
            _ => key.split_once('.').map(|(_, id)| id.to_owned()),
        };
        Ok(copies
            .into_iter()
            .filter_map(|(key, copied)| Some((id(&key)?, copied)))
            .collect())
    }

    /// Whether a person's hold is what workers do.
    fn hold_of(&self, id: &str, original: &Original) -> Option<Drift> {
        let is_paused = self.directory.state(id).phase == Phase::Paused;
        let how = match (original.is_held, is_paused) {
            _ if original.is_gone => return None,
            (true, false) => How::NotHeld,
            (false, true) => How::Held,
            _ => return None,
        };
        Some(Drift {
            kind: Kind::Hold,
            id: id.to_owned(),
            how,
            revision: None,
            in_kv: None,
        })
    }

    /// Makes the database count. A reason where it cannot be done by itself.
    async fn mend(&self, caller: &Caller, drift: &Drift) -> Result<Option<String>, Error> {
        match drift.how {
            How::Missing | How::Behind | How::NotHeld | How::Held => self.put(drift.kind, &drift.id).await?,
            How::Ahead => return self.lift(caller, drift).await,
            How::Unknown => return self.adopt(drift).await,
        }
        Ok(None)
    }

    /// A reason where it is something that ended: no older database brings that back.
    async fn lift(&self, caller: &Caller, drift: &Drift) -> Result<Option<String>, Error> {
        if let Some(reason) = self.ended(drift).await? {
            return Ok(Some(reason));
        }
        let now = Timestamp::now();
        let above = drift.in_kv.max(drift.revision).unwrap_or_default();
        let mut change = self.store().change().await?;
        if let Some(Lifted {
            object: (kind, id),
            org,
            name,
            from,
            to,
        }) = change.lift(drift.kind, &drift.id, above, now).await?
        {
            let deed = Deed {
                action: lifted(drift.kind),
                org: org.as_ref(),
                object: (kind, &id, Some(&name)),
                before: Some(json!({ "revision": from })),
                after: Some(json!({ "revision": to })),
            };
            change.audit(&caller.did(deed, now)).await?;
            change.commit().await?;
        }
        self.put(drift.kind, &drift.id).await?;
        Ok(None)
    }

    /// Why the database must not count: workers know that a key is revoked, an org closed, an integration deleted, and the
    /// database does not.
    async fn ended(&self, drift: &Drift) -> Result<Option<String>, Error> {
        let id = &drift.id;
        if drift.kind == Kind::Integration {
            let known = self.directory.everything().into_iter().find(|one| *one.id == **id);
            let is_here = self.store().integration_by_id(id).await?;
            let is_here = is_here.is_some_and(|stored| stored.integration.status != Status::Deleted);
            return Ok(known
                .filter(|known| is_here && known.status == Status::Deleted)
                .map(|known| {
                    let (org, name) = (&known.org, &known.name);
                    format!("it was deleted since, and an id never comes again: `signalbox integrations delete {name} --org {org}`, then repair again")
                }));
        }
        for change in self.broker.callers().await? {
            match change {
                callers::Change::Key { hash, key } if drift.kind == Kind::Key && hash == *id => {
                    let is_here = self.store().key_by_hash(id).await?;
                    let is_here = is_here.is_some_and(|stored| stored.key.revoked_at.is_none());
                    return Ok((is_here && key.revoked_at.is_some()).then(|| {
                        format!(
                            "it was revoked since: `signalbox keys revoke {}`, then repair again",
                            key.id
                        )
                    }));
                }
                callers::Change::Org(org) if drift.kind == Kind::Org && org.name.as_str() == id => {
                    let is_here = self.store().org(&org.name).await?;
                    let is_here = is_here.is_some_and(|stored| !stored.status.is_closed());
                    return Ok((is_here && org.status.is_closed()).then(|| {
                        format!(
                            "it was erased since: `signalbox orgs erase {0} --confirm {0}`, then repair again",
                            org.name
                        )
                    }));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Takes over what only KV knows.
    async fn adopt(&self, drift: &Drift) -> Result<Option<String>, Error> {
        let now = Timestamp::now();
        let gone = || Some("it is not in KV any more".to_owned());
        match drift.kind {
            Kind::Integration => {
                let Some(integration) = self.directory.everything().into_iter().find(|one| *one.id == *drift.id) else {
                    return Ok(gone());
                };
                let found = Found {
                    held: self.directory.state(&drift.id).phase == Phase::Paused,
                    integration: (*integration).clone(),
                };
                let taken = self.store().take_over(&[found], &[], now).await?;
                if !taken.refused.is_empty() {
                    let (org, name) = (&integration.org, &integration.name);
                    return Ok(Some(format!(
                        "org {org} has another integration of the name {name}: rename that one, then repair again"
                    )));
                }
            }
            Kind::EventType => {
                let Some((org, name)) = event_types::read_id(&drift.id) else {
                    return Ok(Some("this is no name of an event type".to_owned()));
                };
                let Some(entry) = self.broker.event_type(&org, &name).await? else {
                    return Ok(gone());
                };
                self.store().take_over(&[], &[entry.value], now).await?;
            }
            Kind::Key | Kind::Org => {
                for change in self.broker.callers().await? {
                    match change {
                        callers::Change::Key { hash, key } if drift.kind == Kind::Key && hash == drift.id => {
                            self.store().take_over_key(&hash, &key, now).await?;
                        }
                        callers::Change::Org(org) if drift.kind == Kind::Org && org.name.as_str() == drift.id => {
                            self.store().take_over_org(&org, now).await?;
                        }
                        _ => {}
                    }
                }
            }
            Kind::Hold => {}
        }
        Ok(None)
    }
}

/// What the audit calls it where a revision was lifted.
const fn lifted(kind: Kind) -> &'static str {
    match kind {
        Kind::Integration | Kind::Hold => "integration.repaired",
        Kind::EventType => "event_type.repaired",
        Kind::Key => "api_key.repaired",
        Kind::Org => "org.repaired",
    }
}

#[cfg(test)]
mod tests;
