//! Opening the database that the settings name.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _,
    any::{AnyConnectOptions, AnyPoolOptions},
};
use url::Url;

use crate::{Error, migrate};

/// The section's defaults, one comment a setting.
pub const CONFIG_TOML: &str = include_str!("../config.toml");

/// Connections to PostgreSQL that a process may have: one for what it writes and one for what it reads, at the least.
pub const CONNECTIONS: std::ops::RangeInclusive<u32> = 2..=200;

/// The file in the data dir where no other database is named.
const FILE: &str = "signalbox.db";
/// Connections that read a SQLite file.
const SQLITE_READERS: u32 = 4;
/// How long a statement may wait for a connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// How long a statement may take in PostgreSQL, where the address says nothing else.
const STATEMENT_MAX: Duration = Duration::from_secs(30);
/// The first and the last wait between two tries to open.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_LAST: Duration = Duration::from_secs(5);

/// How often a new file is turned to a log of writes, and the pause before it is tried again.
const LOG_TRIES: usize = 50;
const LOG_PAUSE: Duration = Duration::from_millis(50);

/// What each connection to SQLite is told. A commit survives the end of the process, whatever its kind; after a
/// power loss the last ones may be missing, and none is torn (sqlite.org, "Write-Ahead Logging").
const SQLITE_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -65536;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA secure_delete = ON;
";

/// What the driver for PostgreSQL reads in an address. It prints the value of anything else into the log.
const POSTGRES_PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, inside this process.
    Sqlite,
    /// A server.
    Postgres,
}

/// The section `store`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://user:password@host/name`, or `sqlite:path`; empty for a file in the data dir.
    pub url: SecretString,
    /// A file that holds it instead, as it may hold a password; empty for none.
    pub url_file: String,
    /// Connections to PostgreSQL at most, of one process.
    pub connections_max: u32,
}

impl Config {
    /// Checks what can be checked without a database.
    pub fn check(&self) -> Result<(), Error> {
        // Only where a relative path begins depends on the data dir.
        address(self.setting()?.expose_secret(), Path::new("."))?;
        if !CONNECTIONS.contains(&self.connections_max) {
            return Err(Error::Setting {
                name: "store.connections_max",
                reason: format!(
                    "{} is not from {} to {}",
                    self.connections_max,
                    CONNECTIONS.start(),
                    CONNECTIONS.end()
                ),
            });
        }
        Ok(())
    }

    /// What the setting or its file says.
    fn setting(&self) -> Result<SecretString, Error> {
        if self.url_file.is_empty() {
            return Ok(self.url.clone());
        }
        let fault = |reason: String| Error::Setting {
            name: "store.url_file",
            reason,
        };
        if !self.url.expose_secret().is_empty() {
            return Err(fault("is set beside store.url: keep one".to_owned()));
        }
        let text = std::fs::read_to_string(&self.url_file)
            .map_err(|error| fault(format!("{} cannot be read: {error}", self.url_file)))?;
        if text.trim().is_empty() {
            return Err(fault(format!("{} is empty", self.url_file)));
        }
        Ok(text.trim().into())
    }
}

/// The database. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    /// Of SQLite the one connection that writes: it has one writer at a time in any case, and so nobody polls for its turn.
    write: AnyPool,
    read: AnyPool,
    kind: Kind,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What the pools know includes the address, which may hold a password.
        f.debug_struct("Store")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Connects, and brings the tables to this version.
    pub async fn open(config: &Config, data_dir: &Path) -> Result<Self, Error> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        config.check()?;
        match address(config.setting()?.expose_secret(), data_dir)? {
            Address::Sqlite(path) => sqlite(&path).await,
            Address::Postgres(url) => postgres(url, config.connections_max).await,
        }
    }

    /// The same; while the database does not answer, it is tried again and again, which the log says each time. `None` where
    /// `shutdown` came first.
    pub async fn open_within(
        config: &Config,
        data_dir: &Path,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Option<Self>, Error> {
        tokio::select! {
            store = Self::open_patiently(config, data_dir) => store.map(Some),
            () = shutdown => Ok(None),
        }
    }

    async fn open_patiently(config: &Config, data_dir: &Path) -> Result<Self, Error> {
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(WAIT_FIRST)
            .with_max_delay(WAIT_LAST)
            .with_jitter()
            .without_max_times()
            .build();
        loop {
            let error = match Self::open(config, data_dir).await {
                Err(error) if error.is_transient() => error,
                opened => return opened,
            };
            let wait = waits.next().unwrap_or(WAIT_LAST);
            let reason = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, reason, wait_ms = wait.as_millis() as u64, "cannot open the database yet; trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Which database it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where statements go that only read.
    pub(crate) const fn reading(&self) -> &AnyPool {
        &self.read
    }

    /// Where a single statement goes that writes.
    pub(crate) const fn writing(&self) -> &AnyPool {
        &self.write
    }

    /// A transaction that writes.
    pub(crate) async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Any>, Error> {
        Ok(match self.kind {
            // Asked for at once: a transaction that read first could no longer become one that writes.
            Kind::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Kind::Postgres => self.write.begin().await?,
        })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(self.reading()).await?;
        Ok(())
    }

    /// Ends all connections, once what they do is done.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

async fn sqlite(path: &Path) -> Result<Store, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    make_file(path).map_err(failed)?;
    let url = Url::from_file_path(path).map_err(|()| failed(io::ErrorKind::InvalidFilename.into()))?;
    let url = format!("sqlite://{}?mode=rw", url.path());
    let options: AnyConnectOptions = url.parse()?;
    let mut connection = connect(&options).await?;
    // Two that turn a new file to a log of writes at once: SQLite refuses one of them without waiting.
    for left in (0..LOG_TRIES).rev() {
        match connection.execute(SQLITE_PRAGMAS).await.map_err(Error::from) {
            Ok(_) => break,
            Err(error) if error.is_transient() && left > 0 => tokio::time::sleep(LOG_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
    migrate::migrate(&mut connection, Kind::Sqlite).await?;
    let pool = |connections| {
        AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_MAX)
            // There is no server that could have gone away.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(SQLITE_PRAGMAS).await?;
                    Ok(())
                })
            })
            .connect_with(options.clone())
    };
    let store = Store {
        write: pool(1).await?,
        read: pool(SQLITE_READERS).await?,
        kind: Kind::Sqlite,
    };
    connection.close().await?;
    Ok(store)
}

/// Makes the file, for its owner alone: it holds hashes of keys, and whatever the events say. What SQLite puts beside it
/// gets the same mode.
fn make_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

async fn postgres(mut url: Url, connections_max: u32) -> Result<Store, Error> {
    let has = |url: &Url, name: &str| url.query().is_some_and(|query| query.contains(name));
    if !has(&url, "application_name") {
        url.query_pairs_mut().append_pair("application_name", "signalbox");
    }
    if !has(&url, "client_min_messages") {
        // It tells at each start that the table of migrations is there already.
        url.query_pairs_mut()
            .append_pair("options[client_min_messages]", "warning");
    }
    // On a connection of its own and with all the time that it takes: an index over millions of rows, or another process
    // that is at it.
    let mut connection = connect(&AnyConnectOptions::from_url(&url)?).await?;
    let encoding: String = sqlx::query_scalar("select current_setting('server_encoding')")
        .fetch_one(&mut connection)
        .await?;
    if encoding != "UTF8" {
        return Err(Error::Url(format!(
            "names a database in the encoding {encoding}: make one in UTF8"
        )));
    }
    migrate::migrate(&mut connection, Kind::Postgres).await?;
    connection.close().await?;
    if !has(&url, "statement_timeout") {
        let millis = STATEMENT_MAX.as_millis().to_string();
        url.query_pairs_mut().append_pair("options[statement_timeout]", &millis);
    }
    if !has(&url, "plan_cache_mode") {
        // A plan that was kept from when a table was empty reads all of it, also once it has millions of rows.
        url.query_pairs_mut()
            .append_pair("options[plan_cache_mode]", "force_custom_plan");
    }
    let pool = AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_MAX)
        .connect_with(AnyConnectOptions::from_url(&url)?)
        .await?;
    Ok(Store {
        write: pool.clone(),
        read: pool,
        kind: Kind::Postgres,
    })
}

/// One connection, or the reason why there is none yet.
async fn connect(options: &AnyConnectOptions) -> Result<AnyConnection, Error> {
    let connecting = tokio::time::timeout(ACQUIRE_MAX, options.connect());
    Ok(connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)??)
}

/// Where a database is.
#[derive(Debug)]
enum Address {
    Sqlite(PathBuf),
    Postgres(Url),
}

/// Which database a setting names. Errors never repeat the setting: it may hold a password, and one that is not written as
/// addresses have it may end up in any part.
fn address(setting: &str, data_dir: &Path) -> Result<Address, Error> {
    let wrong = |reason: &str| Err(Error::Url(reason.to_owned()));
    let file = match setting.split_once(':') {
        None if setting.is_empty() => data_dir.join(FILE),
        Some(("postgres" | "postgresql", _)) => {
            let url = Url::parse(setting).map_err(|error| Error::Url(format!("is no address: {error}")))?;
            let is_known = |key: &str| POSTGRES_PARAMETERS.contains(&key) || key.starts_with("options[");
            let is_whole = url.fragment().is_none()
                && url.path().matches('/').count() <= 1
                && !url.path().contains('@')
                && url.query_pairs().all(|(key, _)| is_known(&key));
            if !is_whole {
                return wrong(
                    "is not postgres://user:password@host/name with parameters that PostgreSQL knows: write the \
                     characters / ? # @ % of a password as %2F %3F %23 %40 %25",
                );
            }
            return Ok(Address::Postgres(url));
        }
        Some(("sqlite", path)) => match path.trim_start_matches("//") {
            "" | ":memory:" => return wrong("names no file: sqlite:path is one"),
            path => PathBuf::from(path),
        },
        _ => return wrong("is neither postgres://user:password@host/name nor sqlite:path"),
    };
    match std::path::absolute(&file) {
        Ok(path) => Ok(Address::Sqlite(path)),
        Err(_) => wrong("names no path"),
    }
}

#[cfg(test)]
mod tests;
