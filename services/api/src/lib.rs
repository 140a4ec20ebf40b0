#![doc = include_str!("../README.md")]

mod acts;
mod apply;
mod audit;
mod caller;
mod config;
mod dead;
mod deliveries;
mod directory;
mod distribution;
mod doctor;
mod draft;
mod drift;
mod effective;
mod erase;
mod event_types;
mod frame;
mod history;
mod integrations;
mod keys;
mod master_key;
mod openapi;
mod orgs;
mod page;
mod plan;
mod preview;
mod problems;
mod providers;
mod request;
mod revision;
mod rotate;
mod routes;
mod schema;
mod sealing;
mod spec;
mod stats;
mod story;
mod tail;
mod take_over;
mod target;
mod test;
mod trace;
mod view;
mod why;

use std::sync::Arc;

use axum::{Router, extract::State};
use signalbox_access::Access;
use signalbox_broker::Broker;
use signalbox_providers::{Client, Installation};
use signalbox_runtime::{Keyring, Process};
use signalbox_store::Store;

pub use config::Config;
pub use effective::Limits;

use directory::Directory;

/// The section's defaults, one comment a setting.
pub const CONFIG_TOML: &str = include_str!("../config.toml");

/// Why the API stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of integrations cannot be followed.
    #[error("cannot follow the integrations")]
    Follow(#[source] signalbox_broker::Error),
    /// The task that follows the directory ended by itself.
    #[error("following the integrations ended")]
    Ended,
    /// What is sealed is sealed with a key that is not here.
    #[error(
        "credentials are sealed with key {key_id}, which this process does not have (it has {known}): add it as a line of \
         the file that secrets.key_file names"
    )]
    MasterKey {
        /// The key.
        key_id: String,
        /// The keys that are there.
        known: String,
    },
}

/// The API. Clones share everything.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

/// What every handler sees.
struct Shared {
    broker: Broker,
    config: Config,
    keyring: Arc<Keyring>,
    access: Access,
    installation: Installation,
    /// The truth about configuration, once it is open.
    opened: std::sync::OnceLock<Store>,
    /// What workers know of it, and whether integrations are held.
    directory: Directory,
    /// One apply at a time in this process; between processes the revisions decide.
    applying: tokio::sync::Mutex<()>,
    /// Held for reading from sealing something until it is committed, and for writing while another key is made the one
    /// that seals.
    sealing: tokio::sync::RwLock<()>,
    /// One who begins to rotate the master key at a time in this process.
    rotating: tokio::sync::Mutex<()>,
    /// When the database was last found not to answer what is asked of history.
    rest: history::Rest,
    /// What the queues were last found to hold.
    queues: history::Queues,
    /// For tests of integrations.
    client: tokio::sync::OnceCell<Client>,
    /// Said once the directory knows all that was there at the start.
    complete: tokio::sync::Notify,
    /// What waits, as it was seen last.
    looks: stats::Looks,
    /// What the installation allows any integration.
    limits: Limits,
    /// One permit a tail.
    tails: Arc<tokio::sync::Semaphore>,
    /// What the API says of itself.
    about: page::About,
}

type App = State<Arc<Shared>>;

impl Shared {
    /// The database. The frame lets nobody in before it is open.
    fn store(&self) -> &Store {
        self.opened
            .get()
            .expect("the frame lets nobody in before the database is open")
    }
}

impl Api {
    /// An API that knows no integrations until [`Api::run`] has read them.
    pub fn new(
        broker: Broker,
        config: Config,
        keyring: Arc<Keyring>,
        access: Access,
        installation: Installation,
        limits: Limits,
    ) -> Self {
        let shared = Shared {
            broker,
            config,
            keyring,
            access,
            installation,
            opened: std::sync::OnceLock::new(),
            directory: Directory::default(),
            applying: tokio::sync::Mutex::default(),
            sealing: tokio::sync::RwLock::default(),
            rotating: tokio::sync::Mutex::default(),
            rest: history::Rest::default(),
            queues: history::Queues::default(),
            client: tokio::sync::OnceCell::new(),
            complete: tokio::sync::Notify::new(),
            looks: stats::Looks::default(),
            limits,
            tails: Arc::new(tokio::sync::Semaphore::new(tail::TAILS_MAX)),
            about: page::About::of(&routes::table()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The routes, to be served alone or beside those of ingest.
    pub fn routes(&self) -> Router {
        frame::router(&self.shared, &routes::table())
    }

    /// Follows the integrations until the process shuts down. The component `api` of its health is ready once all
    /// that were there at the start are known.
    pub async fn run(
        &self,
        process: &Process,
        mut store: tokio::sync::watch::Receiver<Option<Store>>,
    ) -> Result<(), Error> {
        let component = process.health.component("api");
        let mut changes = signalbox_broker::directory::follow(&self.shared.broker)
            .await
            .map_err(Error::Follow)?;
        let shared = &*self.shared;
        let follow = async {
            loop {
                match changes.recv().await {
                    Some(change) => {
                        if shared.directory.take(change) {
                            shared.complete.notify_one();
                        }
                    }
                    None => return Err(Error::Ended),
                }
            }
        };
        let tell = async {
            // Its sender lives as long as the process.
            if let Ok(store) = store.wait_for(Option::is_some).await
                && let Some(store) = store.clone()
            {
                // Before anything can be sealed.
                rotate::adopt(&shared.keyring, &store).await?;
                shared.opened.get_or_init(|| store);
            }
            shared.complete.notified().await;
            take_over::take_over(shared).await;
            component.ready();
            tokio::join!(distribution::sweep(shared), rotate::work(shared), erase::work(shared));
            Ok(())
        };
        tokio::select! {
            ended = follow => ended,
            ended = tell => ended,
            () = process.shutdown.requested() => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
