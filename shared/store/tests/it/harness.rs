//! The same checks on each database.

use std::{path::Path, time::Duration};

use secrecy::ExposeSecret as _;
use signalbox_store::{Config, Store};
use sqlx::{AnyConnection, Connection as _};
use tempfile::TempDir;

use crate::postgres::Server;

/// How long anything that must happen may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// Between two looks at what must happen.
const LOOK: Duration = Duration::from_millis(20);

/// A database of a test's own.
pub(crate) struct Database {
    pub(crate) config: Config,
    folder: TempDir,
    /// Ends with its last database.
    server: Option<Server>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self {
            config: config(""),
            folder: tempfile::tempdir().unwrap(),
            server: None,
        }
    }

    /// One on a server, which this starts where no other test of this process has; `None` where there is no PostgreSQL.
    pub(crate) async fn postgres() -> Option<Self> {
        let server = Server::get().await?;
        Some(Self {
            config: config(&server.create_database().await),
            folder: tempfile::tempdir().unwrap(),
            server: Some(server),
        })
    }

    /// Of each kind one, as far as there is PostgreSQL.
    pub(crate) async fn each() -> Vec<Self> {
        let mut databases = vec![Self::sqlite()];
        databases.extend(Self::postgres().await);
        databases
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.config, self.data_dir()).await.unwrap()
    }

    /// Past the store, which has been opened once.
    pub(crate) async fn connect(&self) -> AnyConnection {
        let url = match &self.server {
            Some(_) => self.config.url.expose_secret().to_owned(),
            None => format!("sqlite://{}", self.data_dir().join("signalbox.db").display()),
        };
        AnyConnection::connect(&url).await.unwrap()
    }
}

pub(crate) fn config(url: &str) -> Config {
    Config {
        url: url.into(),
        url_file: String::new(),
        connections_max: 8,
    }
}

/// Runs a check on each database, empty.
pub(crate) async fn on_each(check: impl AsyncFn(Store)) {
    for database in Database::each().await {
        let store = database.open().await;
        check(store.clone()).await;
        store.close().await;
    }
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {SOON:?}");
        tokio::time::sleep(LOOK).await;
    }
}
