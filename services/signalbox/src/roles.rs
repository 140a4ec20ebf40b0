//! Roles of one process: started together, ended together.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use axum::Router;
use clap::ValueEnum;
use serde_json::json;
use signalbox_access::Access;
use signalbox_api::Api;
use signalbox_broker::{Broker, patience::patiently};
use signalbox_proto::Name;
use signalbox_runtime::{
    Health, Keyring, Metrics, Problem, Process, Shutdown, Tracer, health,
    serve::{
        self, Bounds, CONNECTIONS_MAX,
        tls::{self, Tls},
    },
    telemetry,
};
use signalbox_store::Store;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    cli::{Failure, Global, Output},
    keyring,
    settings::{self, Admin, Loaded},
};

/// How long the roles may take to finish what they hold. What is left then comes again after the next start.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(40);
/// How long open requests of the API may take after the end was asked for.
const HTTP_GRACE: Duration = Duration::from_secs(10);
/// How long the last spans may take to reach their collector.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// A part of Signalbox that can run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Takes events in over NATS and HTTP.
    Ingest,
    /// Finds the integrations of an event.
    Router,
    /// Calls the targets.
    Delivery,
    /// Probes, unparks, expires, replays, checks.
    Keeper,
    /// Writes history into the database.
    Recorder,
    /// Answers the control API.
    Api,
}

/// `signalbox run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox run ingest --listen 0.0.0.0:8080
  signalbox run delivery --provider webhook --admin-listen 127.0.0.1:0
  SIGNALBOX_NATS__URL=nats://n1:4222,nats://n2:4222 signalbox run router keeper")]
pub(crate) struct Args {
    /// Which roles.
    #[arg(required = true, value_name = "ROLE")]
    roles: Vec<Role>,
    /// Deliver for this provider alone; may be repeated [default: all].
    #[arg(long, value_name = "NAME")]
    provider: Vec<Name>,
    /// Where ingest and api listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9464")]
    admin_listen: SocketAddr,
}

impl Role {
    /// All of them, as `up` runs them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Ingest,
        Self::Router,
        Self::Delivery,
        Self::Keeper,
        Self::Recorder,
        Self::Api,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Router => "router",
            Self::Delivery => "delivery",
            Self::Keeper => "keeper",
            Self::Recorder => "recorder",
            Self::Api => "api",
        }
    }

    fn listens(self) -> bool {
        matches!(self, Self::Ingest | Self::Api)
    }

    fn uses_store(self) -> bool {
        matches!(self, Self::Recorder | Self::Api)
    }

    fn opens_secrets(self) -> bool {
        matches!(self, Self::Delivery | Self::Api)
    }
}

/// Where a process listens. Bound before anything is started, so that a taken port is found out at once.
pub(crate) struct Listeners {
    /// For ingest and api, if one of them runs.
    pub http: Option<Http>,
    /// For `/healthz`, `/readyz`, `/metrics`.
    pub admin: TcpListener,
}

/// Where ingest and api listen, and with which certificate.
pub(crate) struct Http {
    listener: TcpListener,
    tls: Option<Tls>,
}

impl Listeners {
    /// Binds them.
    pub(crate) async fn bind(http: Option<SocketAddr>, tls: &tls::Config, admin: SocketAddr) -> anyhow::Result<Self> {
        let http = match http {
            Some(address) => Some(Http {
                tls: tls.open()?,
                listener: listen(address, "--listen").await?,
            }),
            None => None,
        };
        Ok(Self {
            http,
            admin: listen(admin, "--admin-listen").await?,
        })
    }

    /// The addresses as URLs that work from this machine: of the API, of the admin port.
    pub(crate) fn urls(&self) -> anyhow::Result<(Option<String>, String)> {
        let url = |listener: &TcpListener, is_tls| {
            let scheme = if is_tls { "https" } else { "http" };
            Ok::<_, std::io::Error>(format!("{scheme}://{}", reachable(listener.local_addr()?)))
        };
        let http = self.http.as_ref().map(|http| url(&http.listener, http.tls.is_some()));
        Ok((http.transpose()?, url(&self.admin, false)?))
    }
}

async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; name another address with {flag} (port 0 picks a free one)")
    })
}

/// An address that listens everywhere, as this machine can call it.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What the roles of a process need besides the broker.
pub(crate) struct Kit {
    pub loaded: Loaded,
    pub keyring: Option<Arc<Keyring>>,
    pub admin: Option<Admin>,
    /// Providers that are delivered for; empty for all.
    pub providers: Vec<Name>,
    /// Where the database is, unless the settings name another.
    pub data_dir: PathBuf,
}

impl Kit {
    /// Refuses keys that do not open what is there.
    pub(crate) async fn check_keys(&self, broker: &Broker) -> anyhow::Result<()> {
        match &self.keyring {
            Some(keyring) => keyring::check(broker, keyring, &self.loaded.keyring_place(&self.data_dir)).await,
            None => Ok(()),
        }
    }
}

/// The roles of this process, running.
pub(crate) struct Running {
    process: Process,
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
}

/// The admin port, which answers from the first moment to the last: also while NATS is waited for.
pub(crate) struct AdminPort {
    shutdown: Shutdown,
    server: tokio::task::JoinHandle<()>,
}

impl AdminPort {
    /// Begins to answer on the admin port.
    pub(crate) fn open(listener: TcpListener, process: &Process) -> Self {
        let shutdown = Shutdown::new();
        let server = tokio::spawn(health::serve(
            listener,
            process.health.clone(),
            process.metrics.clone(),
            shutdown.clone(),
        ));
        Self { shutdown, server }
    }

    /// Ends it, when everything else has ended.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.shutdown.trigger();
        self.server.await.context("the admin server failed")
    }
}

/// The process that roles run in, with its signals, its log and its admin port.
pub(crate) fn process(loaded: &Loaded) -> anyhow::Result<Process> {
    telemetry::init(&loaded.log)?;
    let shutdown = Shutdown::new();
    shutdown.on_signal()?;
    let tracer = Tracer::start(&loaded.telemetry)?;
    Ok(Process::new(Health::new(), Metrics::new(), tracer, shutdown)?)
}

impl Running {
    /// Starts roles on this thread, inside its `LocalSet`. They have a broker whose streams are there.
    pub(crate) fn start(
        roles: &BTreeSet<Role>,
        broker: &Broker,
        process: Process,
        kit: &Kit,
        http: Option<Http>,
    ) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let mut routes = Router::new();
        let access = match &kit.admin {
            Some(admin) => {
                // One for all roles here: what one of them writes, the others meet at once.
                let access = Access::new(admin.key.clone(), &kit.loaded.access);
                let (follower, broker, process) = (access.clone(), broker.clone(), process.clone());
                process.health.component("access");
                tasks.spawn_local(async move { ("access", follower.run(&broker, &process).await.map_err(Into::into)) });
                Some(access)
            }
            None => None,
        };
        if let Some(keyring) = kit.keyring.clone() {
            let (broker, shutdown) = (broker.clone(), process.shutdown.clone());
            let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
            let (names, seals) = (names.join("+"), roles.contains(&Role::Api));
            tasks.spawn_local(async move {
                keyring::follow(&broker, &keyring, &names, seals, &shutdown).await;
                ("the sealing keys", Ok(()))
            });
        }
        let store = roles
            .iter()
            .any(|role| role.uses_store())
            .then(|| open_store(&mut tasks, kit, &process));
        for role in roles {
            let (broker, process, loaded) = (broker.clone(), process.clone(), &kit.loaded);
            // Before its task has begun nobody shall take the process for ready.
            process.health.component(role.name());
            match role {
                Role::Ingest => {
                    let access = access.clone().context("ingest needs an admin key")?;
                    let types = signalbox_ingest::Types::default();
                    let admission = signalbox_ingest::Admission::new(broker.clone(), &loaded.ingest, &process.metrics);
                    routes = routes.merge(signalbox_ingest::routes(
                        broker.clone(),
                        &loaded.ingest,
                        access.clone(),
                        types.clone(),
                        admission.clone(),
                    ));
                    let role = signalbox_ingest::run(broker, process, loaded.ingest.clone(), access, types, admission);
                    tasks.spawn_local(async { ("ingest", role.await.map_err(Into::into)) });
                }
                Role::Router => {
                    let role = signalbox_router::run(broker, process, loaded.router.clone());
                    tasks.spawn_local(async { ("router", role.await.map_err(Into::into)) });
                }
                Role::Delivery => {
                    let keyring = kit.keyring.clone().context("delivery needs a keyring")?;
                    let (config, providers) = (loaded.delivery.clone(), kit.providers.clone());
                    let installation = loaded.installation();
                    let role = signalbox_delivery::run(broker, process, config, providers, installation, keyring);
                    tasks.spawn_local(async { ("delivery", role.await.map_err(Into::into)) });
                }
                Role::Keeper => {
                    let targets = signalbox_keeper::Targets::new(loaded.installation(), kit.keyring.clone());
                    let role = signalbox_keeper::run(broker, process, loaded.keeper.clone(), targets);
                    tasks.spawn_local(async { ("keeper", role.await.map_err(Into::into)) });
                }
                Role::Recorder => {
                    let store = store.clone().context("recorder needs the database")?;
                    let config = loaded.recorder.clone();
                    tasks.spawn_local(async move {
                        let ended = match opened(store, &process.shutdown).await {
                            Some(store) => signalbox_recorder::run(broker, store, process, config).await,
                            None => Ok(()),
                        };
                        ("recorder", ended.map_err(Into::into))
                    });
                }
                Role::Api => {
                    let access = access.clone().context("api needs an admin key")?;
                    let keyring = kit.keyring.clone().context("api needs a keyring")?;
                    let (installation, limits) = (loaded.installation(), loaded.limits());
                    let api = Api::new(broker, loaded.api.clone(), keyring, access, installation, limits);
                    routes = routes.merge(api.routes());
                    let store = store.clone().context("api needs the database")?;
                    tasks.spawn_local(async move { ("api", api.run(&process, store).await.map_err(Into::into)) });
                }
            }
        }
        if let Some(http) = http {
            let shutdown = process.shutdown.clone();
            tasks.spawn_local(async {
                answer(http, routes, shutdown).await;
                ("HTTP", Ok(()))
            });
        }
        Ok(Self { process, tasks })
    }

    /// Waits until every role is ready. False where the end was asked for before.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<bool> {
        tokio::select! {
            () = self.process.health.ready() => Ok(true),
            () = self.process.shutdown.requested() => Ok(false),
            Some(ended) = self.tasks.join_next() => Err(fault(ended)),
        }
    }

    /// Waits until the end is asked for, or a role fails.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            () = self.process.shutdown.requested() => Ok(()),
            Some(ended) = self.tasks.join_next() => Err(fault(ended)),
        }
    }

    /// Lets the roles finish what they hold. The first error of a role is kept.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.shutdown.trigger();
        let mut first = Ok(());
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, async {
            while let Some(ended) = self.tasks.join_next().await {
                let result = match ended {
                    Ok((role, result)) => result.with_context(|| format!("{role} failed while it was stopping")),
                    Err(error) => Err(anyhow!(error).context("a role failed while it was stopping")),
                };
                if first.is_ok() {
                    first = result;
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                roles = self.tasks.len(),
                "not everything in hand was finished in time: it comes again after the next start"
            );
        }
        self.process.tracer.flush(FLUSH_TIMEOUT).await;
        first
    }
}

/// Opens the database for all roles here that use it. Those that do not, deliver meanwhile.
fn open_store(
    tasks: &mut JoinSet<(&'static str, anyhow::Result<()>)>,
    kit: &Kit,
    process: &Process,
) -> watch::Receiver<Option<Store>> {
    let (sender, receiver) = watch::channel(None);
    let (config, data_dir) = (kit.loaded.store.clone(), kit.data_dir.clone());
    let (health, shutdown) = (process.health.component("store"), process.shutdown.clone());
    health.not_ready("waiting for the database");
    let open = async move {
        if let Some(store) = Store::open_within(&config, &data_dir, shutdown.requested()).await? {
            sender.send_replace(Some(store));
            health.ready();
        }
        shutdown.requested().await;
        Ok(())
    };
    tasks.spawn_local(async { ("the database", open.await) });
    receiver
}

/// The database once it is open; `None` where the end was asked for before.
async fn opened(mut store: watch::Receiver<Option<Store>>, shutdown: &Shutdown) -> Option<Store> {
    tokio::select! {
        // Its sender lives until the end is asked for, or ends the process with its error.
        store = store.wait_for(Option::is_some) => store.ok()?.clone(),
        () = shutdown.requested() => None,
    }
}

/// A role that ended although nobody asked it to.
fn fault(ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok((role, Ok(()))) => anyhow!("{role} ended by itself"),
        Ok((role, Err(error))) => error.context(format!("{role} failed")),
        Err(error) => anyhow!(error).context("a role failed"),
    }
}

async fn answer(http: Http, routes: Router, shutdown: Shutdown) {
    let routes = routes
        .method_not_allowed_fallback(|| async {
            Problem::new(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this address takes other methods",
            )
        })
        .fallback(|| async { Problem::no_route() });
    serve::serve(
        http.listener,
        http.tls,
        routes,
        Bounds::new(CONNECTIONS_MAX, HTTP_GRACE),
        shutdown,
    )
    .await;
}

/// `signalbox run`: roles against servers that run elsewhere.
pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let roles: BTreeSet<Role> = args.roles.iter().copied().collect();
    if !args.provider.is_empty() && !roles.contains(&Role::Delivery) {
        return Err(Failure::Usage("--provider is for the role delivery".to_owned()));
    }
    let kit = kit(
        &roles,
        args.provider,
        &global.data_dir,
        settings::load(global.settings.as_deref())?,
    )?;
    let http = roles.iter().any(|role| role.listens()).then_some(args.listen);
    let process = process(&kit.loaded)?;
    let listeners = Listeners::bind(http, &kit.loaded.http, args.admin_listen).await?;
    let (api, admin) = listeners.urls()?;
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    let port = AdminPort::open(listeners.admin, &process);
    // From here on the port is closed whatever happens.
    let result = run_roles(&roles, &names, process, &kit, listeners.http, |roles| {
        let answer = json!({ "ready": true, "roles": roles, "api": api, "admin": admin });
        let shown = api.as_ref().map(|api| format!(", {api}")).unwrap_or_default();
        let people = format!("ready: {}{shown}, health at {admin}", roles.join(", "));
        Output::new(global.output).ready(&answer, &people)
    })
    .await;
    result.and(port.close().await.map_err(Failure::from))
}

async fn run_roles(
    roles: &BTreeSet<Role>,
    names: &[&str],
    process: Process,
    kit: &Kit,
    http: Option<Http>,
    tell_ready: impl FnOnce(&[&str]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Not ready before the roles have said what each of them waits for.
    let keys = process.health.component("keys");
    let Some(broker) = connect(&kit.loaded, &names.join("+"), &process).await? else {
        return Ok(());
    };
    kit.check_keys(&broker).await?;
    let mut running = Running::start(roles, &broker, process, kit, http)?;
    keys.ready();
    let result = match running.ready().await {
        Ok(true) => match tell_ready(names) {
            Ok(()) => running.ended().await.map_err(Failure::from),
            Err(failure) => Err(failure),
        },
        Ok(false) => Ok(()),
        Err(error) => Err(error.into()),
    };
    let stopped = running.stop().await;
    result.and(stopped.map_err(Failure::from))
}

fn kit(
    roles: &BTreeSet<Role>,
    providers: Vec<Name>,
    data_dir: &Path,
    settings: signalbox_runtime::Settings,
) -> anyhow::Result<Kit> {
    let loaded = Loaded::new(&settings)?;
    let keyring = if roles.iter().any(|role| role.opens_secrets()) {
        Some(loaded.keyring(data_dir, false)?)
    } else if roles.contains(&Role::Keeper) && loaded.has_keyring(data_dir) {
        // It opens credentials for health checks alone, and does all else without.
        Some(loaded.keyring(data_dir, false)?)
    } else {
        None
    };
    let admin = if roles.iter().any(|role| role.listens()) {
        Some(loaded.admin_key(data_dir, false)?)
    } else {
        None
    };
    for provider in &providers {
        if signalbox_providers::find(provider.as_str()).is_none() {
            let known: Vec<&str> = signalbox_providers::registry().iter().map(|entry| entry.name).collect();
            bail!(
                "--provider: there is no provider {provider}; there are {}",
                known.join(", ")
            );
        }
    }
    Ok(Kit {
        loaded,
        keyring,
        admin,
        providers,
        data_dir: data_dir.to_owned(),
    })
}

/// Connects and makes the streams, for as long as that takes; `None` where the end was asked for meanwhile.
pub(crate) async fn connect(loaded: &Loaded, name: &str, process: &Process) -> anyhow::Result<Option<Broker>> {
    let health = process.health.component("nats");
    health.not_ready("waiting for NATS");
    let connect = async {
        let broker = Broker::connect(loaded.nats.clone(), &format!("signalbox {name}")).await?;
        health.not_ready("making the streams");
        patiently("the list of streams", || broker.ensure_streams()).await?;
        Ok(broker)
    };
    tokio::select! {
        broker = connect => {
            health.ready();
            broker.map(Some)
        }
        () = process.shutdown.requested() => Ok(None),
    }
}
