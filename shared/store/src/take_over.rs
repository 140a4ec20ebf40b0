//! Taking over an installation that ran before there was a database: what KV holds comes in as it is.

use std::collections::BTreeSet;

use serde_json::json;
use signalbox_proto::{Integration, Name, Timestamp, types::Registered};

use crate::{
    Change, Error, Store,
    audit::{Actor, Entry, Object, kind},
    event_types,
    integrations::insert,
    sql::Sql,
};

/// Things that are taken over in one transaction.
const BATCH: usize = 500;

/// An integration as KV had it, perhaps a tombstone.
#[derive(Clone, Debug)]
pub struct Found {
    /// The integration.
    pub integration: Integration,
    /// Whether a person paused it.
    pub held: bool,
}

/// What was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Integrations, tombstones included.
    pub integrations: usize,
    /// Event types.
    pub event_types: usize,
    /// Orgs that are named by them.
    pub orgs: usize,
    /// Ids of integrations that could not be, because another one bears their name.
    pub refused: Vec<String>,
}

impl Store {
    /// Takes over what is not here yet, under the same ids and revisions; what is here stays as it is. Each thing gets its
    /// entry in the audit. KV has it all and is told nothing, but of the orgs: it has never known them.
    pub async fn take_over(
        &self,
        integrations: &[Found],
        event_types: &[Registered],
        at: Timestamp,
    ) -> Result<TakenOver, Error> {
        let mut taken = TakenOver::default();
        for batch in integrations.chunks(BATCH) {
            let mut change = self.change().await?;
            let orgs = batch.iter().map(|found| &found.integration.org);
            let orgs = change.take_orgs(orgs, at).await?;
            let mut count = 0;
            let mut refused = Vec::new();
            for found in batch {
                match change.take_integration(found, at).await? {
                    Taken::New => count += 1,
                    Taken::Known => {}
                    Taken::Refused => refused.push(found.integration.id.clone()),
                }
            }
            change.commit().await?;
            taken.orgs += orgs;
            taken.integrations += count;
            taken.refused.extend(refused);
        }
        for batch in event_types.chunks(BATCH) {
            let mut change = self.change().await?;
            let orgs = change.take_orgs(batch.iter().map(|found| &found.org), at).await?;
            let mut count = 0;
            for registered in batch {
                count += usize::from(change.take_event_type(registered, at).await?);
            }
            change.commit().await?;
            taken.orgs += orgs;
            taken.event_types += count;
        }
        Ok(taken)
    }
}

enum Taken {
    New,
    Known,
    Refused,
}

impl Change {
    async fn take_orgs(&mut self, orgs: impl Iterator<Item = &Name>, at: Timestamp) -> Result<usize, Error> {
        let mut count = 0;
        for org in orgs.collect::<BTreeSet<_>>() {
            if self.ensure_org(org, at).await?.is_some() {
                let entry = entry(kind::ORG, org.as_str(), Some(org), org.as_str(), 1, at);
                self.audit(&entry).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    async fn take_integration(&mut self, found: &Found, at: Timestamp) -> Result<Taken, Error> {
        let Found { integration, held } = found;
        let rows = insert(integration, *held, " on conflict do nothing")?
            .execute(self.connection())
            .await?;
        if rows == 0 {
            let known = Sql::new("select id from integrations where id = $1")
                .with(&*integration.id)
                .optional(self.connection())
                .await?;
            return Ok(if known.is_some() { Taken::Known } else { Taken::Refused });
        }
        self.changed(kind::INTEGRATION, &integration.id);
        let (id, name) = (&integration.id, integration.name.as_str());
        let entry = entry(
            kind::INTEGRATION,
            id,
            Some(&integration.org),
            name,
            integration.revision,
            at,
        );
        self.audit(&entry).await?;
        Ok(Taken::New)
    }

    async fn take_event_type(&mut self, registered: &Registered, at: Timestamp) -> Result<bool, Error> {
        let rows = event_types::insert(registered, None)?
            .execute(self.connection())
            .await?;
        if rows == 0 {
            return Ok(false);
        }
        let id = event_types::id(&registered.org, &registered.name);
        self.changed(kind::EVENT_TYPE, &id);
        let (org, name) = (&registered.org, registered.name.as_str());
        let entry = entry(kind::EVENT_TYPE, &id, Some(org), name, registered.revision, at);
        self.audit(&entry).await?;
        Ok(true)
    }
}

/// One thing is taken over once: its entry's id says so.
pub(crate) fn entry(kind: &str, id: &str, org: Option<&Name>, name: &str, revision: u64, at: Timestamp) -> Entry {
    Entry {
        id: format!("taken-over/{kind}/{id}"),
        at,
        org: org.cloned(),
        actor: Actor::system("take-over"),
        key_id: None,
        address: None,
        request_id: None,
        action: format!("{kind}.taken_over"),
        object: Object {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: Some(name.to_owned()),
        },
        before: None,
        after: Some(json!({ "revision": revision })),
    }
}
