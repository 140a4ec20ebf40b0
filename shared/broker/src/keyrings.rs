//! Which sealing keys each process has, told in the bucket LEASE, and which keys CONFIG needs.
//!
//! A key may seal only once every process that opens secrets has it. A process tells what it has when it starts and when
//! that changes, and again and again: what it told is forgotten a while after it has ended. No key is told, only ids.

use std::{ops::ControlFlow, time::Duration};

use serde::{Deserialize, Serialize};
use signalbox_proto::{
    integration::{Sealed, Status},
    subjects, wire,
};

use crate::{Broker, Error, Message, topology::From};

/// How long what a process told is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(30);
/// How often it tells the same again.
pub const TELL_EVERY: Duration = Duration::from_secs(10);

/// The keys of one process, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What the process is: the roles that it runs.
    pub process: String,
    /// What it opens with.
    pub keys: Vec<String>,
    /// What it seals with; none of a process that never seals.
    pub seals_with: Option<String>,
}

/// The name under which one process tells.
#[derive(Clone, Debug)]
pub struct Teller {
    key: String,
}

/// What of an integration says how it is sealed.
#[derive(Deserialize)]
struct Part {
    id: String,
    status: Status,
    #[serde(default)]
    sealed: Option<Sealed>,
}

impl Broker {
    /// A name that no other process tells under.
    pub fn keyring_teller(&self) -> Teller {
        Teller {
            key: subjects::keyring_key(&self.unique()),
        }
    }

    /// Tells what a process has.
    pub async fn tell_keyring(&self, teller: &Teller, told: &Told) -> Result<(), Error> {
        self.put_for(subjects::LEASE, &teller.key, told, REMEMBERED).await
    }

    /// Forgets what a process told, as it ends.
    pub async fn forget_keyring(&self, teller: &Teller) -> Result<(), Error> {
        self.delete(subjects::LEASE, &teller.key).await
    }

    /// What all processes have told of late.
    pub async fn keyrings(&self) -> Result<Vec<Told>, Error> {
        let mut found = Vec::new();
        let filter = format!("$KV.{}.{}", subjects::LEASE, subjects::keyring_key("*"));
        let each = |message: Message| {
            // An empty one marks what was forgotten.
            if !message.body.is_empty() {
                match wire::decode::<Told>(&message.body) {
                    Ok(told) => found.push(told),
                    Err(error) => tracing::warn!(%error, "cannot read which keys a process has"),
                }
            }
            ControlFlow::Continue(())
        };
        let stream = format!("KV_{}", subjects::LEASE);
        self.scan(&stream, vec![filter], From::LastPerSubject, each).await?;
        Ok(found)
    }

    /// What of each integration of CONFIG is sealed, with the integration's id.
    pub async fn each_sealed(&self, mut each: impl FnMut(&str, &Sealed)) -> Result<(), Error> {
        let filter = format!("$KV.{}.{}", subjects::CONFIG, subjects::integration_key("*"));
        let read = |message: Message| {
            // What a newer version wrote is judged by that one.
            if let Ok(part) = wire::decode::<Part>(&message.body)
                && part.status != Status::Deleted
                && let Some(sealed) = &part.sealed
            {
                each(&part.id, sealed);
            }
            ControlFlow::Continue(())
        };
        let stream = format!("KV_{}", subjects::CONFIG);
        self.scan(&stream, vec![filter], From::LastPerSubject, read).await?;
        Ok(())
    }
}
