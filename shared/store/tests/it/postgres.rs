//! A PostgreSQL server of this process. It ends with the last test that uses it, or with the process.

pub(crate) mod process;

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tokio::sync::Mutex;

use process::{Process, installed};

/// A running server, shared by the tests of a process.
#[derive(Clone)]
pub(crate) struct Server(Arc<Shared>);

struct Shared {
    process: Process,
    databases: AtomicUsize,
}

impl Server {
    /// The server; `None` where PostgreSQL is not installed and nothing demands it.
    pub(crate) async fn get() -> Option<Self> {
        static SERVER: Mutex<Weak<Shared>> = Mutex::const_new(Weak::new());
        let mut server = SERVER.lock().await;
        if let Some(running) = server.upgrade() {
            return Some(Self(running));
        }
        let programs = installed()?;
        sqlx::any::install_default_drivers();
        let started = Self(Arc::new(Shared {
            process: Process::start(programs).await,
            databases: AtomicUsize::new(0),
        }));
        *server = Arc::downgrade(&started.0);
        Some(started)
    }

    /// Makes an empty database in a language whose order of texts is not that of their bytes; its address.
    pub(crate) async fn create_database(&self) -> String {
        let name = format!("test_{}", self.0.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("create database {name}")).await;
        self.0.process.url(&name)
    }

    /// Runs a statement as the superuser, outside of the databases of tests.
    pub(crate) async fn execute(&self, statement: &str) {
        let mut connection = AnyConnection::connect(&self.0.process.url("postgres")).await.unwrap();
        sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

/// One server that a test stops and starts, with a database of its own.
pub(crate) struct Own {
    process: Process,
}

impl Own {
    /// `None` where there is no PostgreSQL: [`Server::get`] has said so.
    pub(crate) async fn start() -> Option<Self> {
        Server::get().await?;
        Some(Self {
            process: Process::start(installed()?).await,
        })
    }

    pub(crate) fn url(&self) -> String {
        self.process.url("postgres")
    }

    pub(crate) fn stop(&self) {
        self.process.stop();
    }

    pub(crate) async fn start_again(&self) {
        self.process.start_again().await;
    }
}
