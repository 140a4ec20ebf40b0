//! `signalbox up`: everything in one process on this machine.

use std::{
    fs::DirBuilder,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use signalbox_runtime::Shutdown;

use crate::{
    cli::{Client, Failure, Global, Output, Wanted, apply_file},
    nats_server::{NatsServer, Options},
    roles::{self, AdminPort, Http, Kit, Listeners, Role, Running},
    settings::{self, Loaded},
};

/// What memory streams of the server may take: the counters of rate limits.
const MEMORY_STORE_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
When all is ready one line is printed, with the addresses, and the admin key if this start made it.

Examples:
  signalbox up
  signalbox up -f integrations.yaml --data-dir ~/signalbox
  signalbox up --listen 127.0.0.1:8081 --nats-listen 127.0.0.1:4223 --admin-listen 127.0.0.1:9465
  SIGNALBOX_EGRESS__ALLOW=127.0.0.0/8 signalbox up -f integrations.yaml
      targets on this machine are allowed, which they are not else")]
pub(crate) struct Args {
    /// A file of integrations to apply at this start.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Where the API and publishing listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the nats-server listens; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:4222")]
    nats_listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9464")]
    admin_listen: SocketAddr,
    /// Leave out what later versions have of the file (it is named), and go on with the rest.
    #[arg(long, requires = "file")]
    skip_unavailable: bool,
}

impl Args {
    /// What shall be applied at the start.
    fn wanted(&self) -> Option<Wanted> {
        let file = self.file.clone()?;
        Some(Wanted::of(file).skipping_unavailable(self.skip_unavailable))
    }

    /// Everything on free ports of the loopback.
    pub(crate) fn on_free_ports() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            file: None,
            listen: free,
            nats_listen: free,
            admin_listen: free,
            skip_unavailable: false,
        }
    }
}

/// The line that says that all is ready, for programs.
#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    api: &'a str,
    nats: &'a str,
    admin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

/// What runs, and how to reach it.
pub(crate) struct Up {
    /// The API and publishing.
    pub api: String,
    /// The nats-server.
    pub nats: String,
    /// Health and metrics.
    pub admin: String,
    /// The admin key.
    pub key: SecretString,
    /// Whether this start made the key.
    pub key_is_new: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let loaded = Loaded::new(&settings::load(global.settings.as_deref())?)?;
    if let Some(wanted) = args.wanted() {
        wanted.check()?;
    }
    let format = global.output;
    let kept = global.data_dir.join(settings::ADMIN_KEY_FILE);
    serve(&args, &global.data_dir, loaded, async |up: &Up| {
        let new_key = up.key_is_new.then(|| up.key.expose_secret());
        let ready = Ready {
            ready: true,
            api: &up.api,
            nats: &up.nats,
            admin: &up.admin,
            key: new_key,
        };
        let mut people = format!("ready: API {}, NATS {}, health {}", up.api, up.nats, up.admin);
        if let Some(key) = new_key {
            people.push_str(&format!(", key {key} (kept in {})", kept.display()));
        }
        Output::new(format).ready(&ready, &people)?;
        std::future::pending().await
    })
    .await
}

/// Runs everything until the end is asked for or `then`, which begins when all is ready, comes to its end.
pub(crate) async fn serve(
    args: &Args,
    data_dir: &Path,
    mut loaded: Loaded,
    then: impl AsyncFnOnce(&Up) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let process = roles::process(&loaded)?;
    let shutdown = process.shutdown.clone();
    let listeners = Listeners::bind(Some(args.listen), &loaded.http, args.admin_listen).await?;
    make_data_dir(data_dir)?;
    let urls = listeners.urls()?;
    let port = AdminPort::open(listeners.admin, &process);
    // From here on the port is closed whatever happens, after the server.
    let result = match start_server(args, data_dir, &loaded, &shutdown).await {
        Ok(Some(server)) => {
            loaded.nats.url = server.url().to_owned();
            let result = with_server(args.wanted(), data_dir, loaded, process, listeners.http, urls, then).await;
            result.and(server.stop().await.map_err(Failure::from))
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error.into()),
    };
    result.and(port.close().await.map_err(Failure::from))
}

async fn with_server(
    wanted: Option<Wanted>,
    data_dir: &Path,
    loaded: Loaded,
    process: signalbox_runtime::Process,
    http: Option<Http>,
    (api, admin_url): (Option<String>, String),
    then: impl AsyncFnOnce(&Up) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let admin = loaded.admin_key(data_dir, true)?;
    let keyring = loaded.keyring(data_dir, true)?;
    let up = Up {
        api: api.context("the API listens")?,
        nats: loaded.nats.url.clone(),
        admin: admin_url,
        key: admin.text.clone(),
        key_is_new: admin.is_new,
    };
    // Not ready before the roles have said what each of them waits for.
    let keys = process.health.component("keys");
    let Some(broker) = roles::connect(&loaded, "up", &process).await? else {
        return Ok(());
    };
    let kit = Kit {
        loaded,
        keyring: Some(keyring),
        admin: Some(admin),
        providers: Vec::new(),
        data_dir: data_dir.to_owned(),
    };
    kit.check_keys(&broker).await?;
    let mut running = Running::start(&Role::ALL.into(), &broker, process, &kit, http)?;
    keys.ready();
    let result = async {
        if !running.ready().await? {
            return Ok(());
        }
        if let Some(wanted) = wanted {
            let client = Client::of(&up.api, Some(up.key.clone()))?;
            let apply = apply_file(&client, &wanted, false, false);
            tokio::select! {
                answer = apply => told(&answer?),
                ended = running.ended() => return ended.map_err(Failure::from),
            }
            // What was applied may have woken workers that are not ready yet.
            if !running.ready().await? {
                return Ok(());
            }
        }
        tokio::select! {
            done = then(&up) => done,
            ended = running.ended() => ended.map_err(Failure::from),
        }
    }
    .await;
    let stopped = running.stop().await.map_err(Failure::from);
    result.and(stopped)
}

/// Logs what applying the file changed.
fn told(answer: &Value) {
    let changes = answer["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let changed = changes.iter().filter(|change| change["action"] != "none").count();
    tracing::info!(changed, unchanged = changes.len() - changed, "the file was applied");
}

/// Makes the data dir, for its owner alone.
fn make_data_dir(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the data dir {}", path.display()))
}

/// Starts the server; `None` where the end was asked for meanwhile.
async fn start_server(
    args: &Args,
    data_dir: &Path,
    loaded: &Loaded,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<NatsServer>> {
    let options = Options {
        listen: args.nats_listen,
        data_dir: data_dir.to_owned(),
        server_path: loaded.server.server_path.clone(),
        durability: loaded.server.durability,
        file_store_bytes_max: loaded.nats.storage_bytes,
        memory_store_bytes_max: MEMORY_STORE_BYTES_MAX,
    };
    tokio::select! {
        server = NatsServer::start(options) => server.map(Some),
        () = shutdown.requested() => Ok(None),
    }
}
