//! `signalbox up`: everything in one process on this machine.

use std::{
    fs::DirBuilder,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::Value;
use signalbox_runtime::Shutdown;

use crate::{
    cli::{Client, Failure, Global, Output, Wanted, apply_file},
    nats_server::{NatsServer, Options},
    roles::{self, Kit, Listeners, Role, Running},
    settings::{self, Loaded},
};

/// What memory streams of the server may take: the counters of rate limits.
const MEMORY_STORE_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
When all is ready one line is printed, with the addresses, and the admin key if this start made it.

Examples:
  signalbox up
  signalbox up -f integrations.yaml --data-dir /var/lib/signalbox
  signalbox up --listen 127.0.0.1:0 --nats-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --output json
  SIGNALBOX_EGRESS__ALLOW=127.0.0.0/8 signalbox up -f integrations.yaml      targets on this machine are allowed")]
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

pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let mut loaded = Loaded::new(&settings::load(global.settings.as_deref())?)?;
    let process = roles::process(&loaded)?;
    let shutdown = process.shutdown.clone();
    let listeners = Listeners::bind(Some(args.listen), args.admin_listen).await?;
    make_data_dir(&global.data_dir)?;
    let Some(server) = start_server(&args, global, &loaded, &shutdown).await? else {
        return Ok(());
    };
    loaded.nats.url = server.url().to_owned();
    let nats = server.url().to_owned();

    // From here on the server is stopped whatever happens.
    let result = with_server(args.file.as_deref(), global, loaded, process, listeners, &nats).await;
    let stopped = server.stop().await.map_err(Failure::from);
    result.and(stopped)
}

async fn with_server(
    file: Option<&Path>,
    global: &Global,
    loaded: Loaded,
    process: signalbox_runtime::Process,
    listeners: Listeners,
    nats: &str,
) -> Result<(), Failure> {
    let admin = loaded.admin_key(&global.data_dir, true)?;
    let keyring = loaded.keyring(&global.data_dir, true)?;
    let key = admin.text.clone();
    let new_key = admin.is_new.then(|| key.expose_secret().to_owned());
    let (api, admin_url) = listeners.urls()?;
    let api = api.context("the API listens")?;
    let Some(broker) = roles::connect(&loaded, "up", &process.shutdown).await? else {
        return Ok(());
    };
    let kit = Kit {
        loaded,
        keyring: Some(keyring),
        admin: Some(admin),
        providers: Vec::new(),
    };
    let mut running = Running::start(&Role::ALL.into(), &broker, process, &kit, listeners)?;
    let result = async {
        if !running.ready().await? {
            return Ok(());
        }
        if let Some(file) = file {
            let client = Client::of(&api, Some(key))?;
            let wanted = Wanted::of(file.to_owned());
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
        let ready = Ready {
            ready: true,
            api: &api,
            nats,
            admin: &admin_url,
            key: new_key.as_deref(),
        };
        let mut people = format!("ready: API {api}, NATS {nats}, health {admin_url}");
        if let Some(key) = &new_key {
            let kept = global.data_dir.join(settings::ADMIN_KEY_FILE);
            people.push_str(&format!(", key {key} (kept in {})", kept.display()));
        }
        Output::new(global.output).ready(&ready, &people)?;
        running.ended().await.map_err(Failure::from)
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
    global: &Global,
    loaded: &Loaded,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<NatsServer>> {
    let options = Options {
        listen: args.nats_listen,
        data_dir: global.data_dir.clone(),
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
