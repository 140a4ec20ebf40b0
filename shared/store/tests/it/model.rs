//! Any sequence of changes leaves what it would leave in two maps, on both databases alike.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use signalbox_proto::{Integration, integration::Status};
use signalbox_store::{
    Change, Error, Store,
    audit::{Wanted, kind},
    integrations, outbox,
};

use crate::{
    harness::Database,
    samples::{at, entry, integration, kind_of_event, name, next, registered, tombstone},
};

/// Sequences that are tried.
const CASES: u32 = 48;
/// Longest sequence.
const STEPS_MAX: usize = 40;

#[derive(Clone, Debug)]
enum Step {
    Create { id: usize, name: usize },
    Replace { id: usize, name: usize, expected: u64 },
    Delete { id: usize, expected: u64 },
    Hold { id: usize, held: bool },
    Put { name: usize, expected: Option<u64> },
    Remove { name: usize, expected: u64 },
}

const IDS: usize = 4;
const NAMES: [&str; 3] = ["a-b", "a_b", "ab"];

fn steps() -> impl Strategy<Value = Vec<(Step, bool)>> {
    let (id, name, expected) = (0..IDS, 0..NAMES.len(), 1..6_u64);
    let step = prop_oneof![
        3 => (id.clone(), name.clone()).prop_map(|(id, name)| Step::Create { id, name }),
        3 => (id.clone(), name.clone(), expected.clone())
            .prop_map(|(id, name, expected)| Step::Replace { id, name, expected }),
        1 => (id.clone(), expected.clone()).prop_map(|(id, expected)| Step::Delete { id, expected }),
        1 => (id, any::<bool>()).prop_map(|(id, held)| Step::Hold { id, held }),
        2 => (name.clone(), proptest::option::of(expected.clone()))
            .prop_map(|(name, expected)| Step::Put { name, expected }),
        1 => (name, expected).prop_map(|(name, expected)| Step::Remove { name, expected }),
    ];
    // One change in eight is given up instead of committed.
    vec((step, prop::bool::weighted(0.875)), 1..STEPS_MAX)
}

/// What must be there.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// By id: the integration, and whether and how often it was held.
    integrations: BTreeMap<String, (Integration, bool, u64)>,
    /// By id and revision, without secrets.
    former: BTreeMap<(String, u64), Integration>,
    /// By name: the revision, and whether it is there.
    types: BTreeMap<String, (u64, bool)>,
    /// By kind and id.
    untold: BTreeMap<(outbox::Kind, String), u64>,
    entries: usize,
}

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Conflict,
    Duplicate,
}

fn id_of(id: usize) -> String {
    format!("id-{id}")
}

impl Model {
    fn is_taken(&self, called: &str, id: &str) -> bool {
        self.integrations
            .values()
            .any(|(one, ..)| one.name.as_str() == called && one.id != id && one.status != Status::Deleted)
    }

    fn live(&self, id: &str) -> Option<&Integration> {
        let (one, ..) = self.integrations.get(id)?;
        (one.status != Status::Deleted).then_some(one)
    }

    fn keep(&mut self, former: &Integration, later: Integration) {
        let bare = Integration {
            sealed: None,
            ..former.clone()
        };
        self.former.insert((former.id.clone(), former.revision), bare);
        let id = later.id.clone();
        self.untold
            .insert((outbox::Kind::Integration, id.clone()), later.revision);
        self.integrations.entry(id).and_modify(|(one, ..)| *one = later);
    }

    fn take(&mut self, step: &Step) -> End {
        match step {
            Step::Create { id, name } => {
                let id = id_of(*id);
                if self.integrations.contains_key(&id) || self.is_taken(NAMES[*name], &id) {
                    return End::Duplicate;
                }
                let made = integration(&id, "acme", NAMES[*name]);
                self.untold.insert((outbox::Kind::Integration, id.clone()), 1);
                self.integrations.insert(id, (made, false, 0));
            }
            Step::Replace { id, name, expected } => {
                let id = id_of(*id);
                match self.live(&id).cloned() {
                    Some(former) if former.revision == *expected => {
                        if self.is_taken(NAMES[*name], &id) {
                            return End::Duplicate;
                        }
                        let later = Integration {
                            name: crate::samples::name(NAMES[*name]),
                            ..next(&former)
                        };
                        self.keep(&former, later);
                    }
                    _ => return End::Conflict,
                }
            }
            Step::Delete { id, expected } => match self.live(&id_of(*id)).cloned() {
                Some(former) if former.revision == *expected => self.keep(&former, tombstone(&former)),
                _ => return End::Conflict,
            },
            Step::Hold { id, held } => {
                let id = id_of(*id);
                if self.live(&id).is_none() {
                    return End::Conflict;
                }
                if let Some((_, is_held, revision)) = self.integrations.get_mut(&id) {
                    *is_held = *held;
                    *revision += 1;
                    self.untold.insert((outbox::Kind::Hold, id), *revision);
                }
            }
            Step::Put { name, expected } => {
                let standing = self.types.get(NAMES[*name]).copied();
                let revision = match (standing, expected) {
                    (None, None) => 1,
                    (Some((revision, false)), None) => revision + 1,
                    (Some((revision, true)), Some(expected)) if revision == *expected => revision + 1,
                    (_, None) => return End::Duplicate,
                    (_, Some(_)) => return End::Conflict,
                };
                self.types.insert(NAMES[*name].to_owned(), (revision, true));
                let id = format!("acme/{}", NAMES[*name]);
                self.untold.insert((outbox::Kind::EventType, id), revision);
            }
            Step::Remove { name, expected } => match self.types.get_mut(NAMES[*name]) {
                Some((revision, there)) if *there && revision == expected => {
                    (*revision, *there) = (*revision + 1, false);
                    let id = format!("acme/{}", NAMES[*name]);
                    self.untold.insert((outbox::Kind::EventType, id), *revision);
                }
                _ => return End::Conflict,
            },
        }
        self.entries += 1;
        End::Done
    }

    async fn read(store: &Store) -> Self {
        let mut model = Self::default();
        for stored in store.all_integrations(None, 99).await.unwrap() {
            let integrations::Stored {
                integration,
                held,
                hold_revision,
                ..
            } = stored;
            for revision in 1..integration.revision {
                if let Some(former) = store.integration_revision(&integration.id, revision).await.unwrap() {
                    model.former.insert((integration.id.clone(), revision), former);
                }
            }
            model
                .integrations
                .insert(integration.id.clone(), (integration, held, hold_revision));
        }
        for stored in store.all_event_types(None, 99).await.unwrap() {
            let is_there = stored.deleted_at.is_none();
            let registered = stored.registered;
            model
                .types
                .insert(registered.name.to_string(), (registered.revision, is_there));
        }
        for untold in store.outbox_due(at(99), 99).await.unwrap() {
            model.untold.insert((untold.kind, untold.id), untold.revision);
        }
        let wanted = Wanted {
            limit: 999,
            ..Wanted::default()
        };
        model.entries = store.audit(&wanted).await.unwrap().len();
        model
    }
}

/// One step and its entry in the audit.
async fn write(change: &mut Change, step: &Step, model: &Model, number: usize) -> Result<(), Error> {
    let current = |id: &str| match model.integrations.get(id) {
        Some((one, ..)) => one.clone(),
        None => integration(id, "acme", NAMES[0]),
    };
    let (kind, object) = match step {
        Step::Create { id, name } => {
            let id = id_of(*id);
            change
                .create_integration(&integration(&id, "acme", NAMES[*name]))
                .await?;
            (kind::INTEGRATION, id)
        }
        Step::Replace { id, name, expected } => {
            let id = id_of(*id);
            let later = Integration {
                name: crate::samples::name(NAMES[*name]),
                revision: expected + 1,
                updated_at: at(expected.cast_signed()),
                ..current(&id)
            };
            change.replace_integration(&later, *expected).await?;
            (kind::INTEGRATION, id)
        }
        Step::Delete { id, expected } => {
            let id = id_of(*id);
            let later = Integration {
                revision: expected + 1,
                updated_at: at(expected.cast_signed()),
                ..tombstone(&current(&id))
            };
            change.delete_integration(&later, *expected).await?;
            (kind::INTEGRATION, id)
        }
        Step::Hold { id, held } => {
            let id = id_of(*id);
            change.hold_integration(&id, *held, at(1)).await?;
            (kind::INTEGRATION, id)
        }
        Step::Put { name, expected } => {
            change
                .put_event_type(registered("acme", NAMES[*name]), *expected)
                .await?;
            (kind::EVENT_TYPE, format!("acme/{}", NAMES[*name]))
        }
        Step::Remove { name: called, expected } => {
            change
                .delete_event_type(&name("acme"), &kind_of_event(NAMES[*called]), *expected, at(1))
                .await?;
            (kind::EVENT_TYPE, format!("acme/{}", NAMES[*called]))
        }
    };
    change.audit(&entry(&format!("entry-{number}"), kind, &object)).await
}

async fn check(store: &Store, steps: &[(Step, bool)]) {
    let mut model = Model::default();
    for (number, (step, is_committed)) in steps.iter().enumerate() {
        let mut change = store.change().await.unwrap();
        let end = match write(&mut change, step, &model, number).await {
            Ok(()) => End::Done,
            Err(Error::Conflict { .. }) => End::Conflict,
            Err(Error::Duplicate { .. }) => End::Duplicate,
            Err(other) => panic!("{step:?}: {other:?}"),
        };
        let mut after = model.clone();
        assert_eq!(after.take(step), end, "{step:?} of {model:#?}");
        if end == End::Done && *is_committed {
            change.commit().await.unwrap();
            model = after;
        } else {
            drop(change);
        }
    }
    assert_eq!(Model::read(store).await, model);
}

#[test]
fn any_changes_leave_what_a_model_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let opened = runtime.block_on(async {
        let mut opened = Vec::new();
        for database in Database::each().await {
            let store = database.open().await;
            let connection = tokio::sync::Mutex::new(database.connect().await);
            opened.push((database, store, connection));
        }
        opened
    });
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            for (_, store, connection) in &opened {
                let mut connection = connection.lock().await;
                for table in [
                    "integrations",
                    "integration_revisions",
                    "event_types",
                    "outbox",
                    "audit",
                ] {
                    sqlx::query(sqlx::AssertSqlSafe(format!("delete from {table}")))
                        .execute(&mut *connection)
                        .await
                        .unwrap();
                }
                check(store, &steps).await;
            }
        });
        Ok(())
    });
    runtime.block_on(async {
        for (_, store, _) in &opened {
            store.close().await;
        }
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
