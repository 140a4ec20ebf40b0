//! The command line: what can be said, and which code the process ends with.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, parser::ValueSource};

use secrecy::SecretString;

use crate::{bench, demo, roles, up};

mod acts;
mod apply;
mod audit;
mod client;
mod completions;
mod config;
mod dead;
mod deliveries;
mod doctor;
mod erase;
mod event_types;
mod failure;
mod holding;
mod ids;
mod integrations;
mod keys;
mod master_key;
mod org;
mod orgs;
mod output;
mod paint;
mod providers;
mod publish;
mod replay;
mod selected;
mod stats;
mod tail;
mod trace;
mod usage;

pub(crate) use apply::{Wanted, apply_file};
pub(crate) use client::Client;
pub(crate) use failure::Failure;
pub(crate) use output::Output;

/// Delivers events to where people and systems look, at least once, and never zero times.
#[derive(Debug, Parser)]
#[command(
    name = "signalbox",
    version,
    max_term_width = 110,
    after_help = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused.

Examples:
  signalbox up -f integrations.yaml
  signalbox publish execution.failed --data '{\"agent_id\":\"agent-7\",\"error\":\"timeout\"}'
  signalbox trace 01912d68-783e-7a3f-8a2b-0c2f7e4b9d11
  signalbox dead list --reason exhausted"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Everywhere")]
    pub output: Format,
    /// Where the API is.
    #[arg(
        long,
        global = true,
        env = "SIGNALBOX_URL",
        default_value = "http://127.0.0.1:8080",
        help_heading = "Everywhere"
    )]
    pub url: String,
    /// The API key (sbx_…) that calls are made with: the admin key, or one of `signalbox keys create` [default: the
    /// file admin.key of the data dir]. A --data-dir on the command line counts more than the variable. Other users of
    /// this machine see the command line, so rather use the variable. What it is set to is never printed.
    #[arg(
        long,
        global = true,
        env = "SIGNALBOX_KEY",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub key: Option<SecretString>,
    /// Where `up` keeps its streams and keys.
    #[arg(
        long,
        global = true,
        env = "SIGNALBOX_DATA_DIR",
        default_value = "./signalbox-data",
        help_heading = "Everywhere"
    )]
    pub data_dir: PathBuf,
    /// A settings file [default: signalbox.toml in the working directory, if it is there].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub settings: Option<PathBuf>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: what the API answers.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process on this machine: a nats-server as a child, all roles, the API.
    Up(up::Args),
    /// Show it all on this machine: targets, sample events, a failure, a replay.
    Demo(demo::Args),
    /// Run roles in this process, for production.
    Run(roles::Args),
    /// Publish an event and print its id.
    Publish(publish::Args),
    /// Show what applying a file would change.
    Plan(apply::PlanArgs),
    /// Make the integrations be what a file says.
    Apply(apply::ApplyArgs),
    /// Print the integrations as a file, secrets masked.
    Export(apply::ExportArgs),
    /// Look at integrations, hold and release them, delete them.
    #[command(
        subcommand,
        after_help = "\
Examples:
  signalbox integrations list
  signalbox integrations test oncall
  signalbox integrations pause oncall"
    )]
    Integrations(integrations::Command),
    /// Hold deliveries: they wait until they are resumed or expire.
    Pause(holding::PauseArgs),
    /// Let held deliveries go, the oldest first.
    Resume(holding::ResumeArgs),
    /// Look at deliveries, try one now, give up what waits.
    #[command(
        subcommand,
        after_help = "\
Examples:
  signalbox deliveries list --status waiting
  signalbox deliveries retry --integration oncall"
    )]
    Deliveries(deliveries::Command),
    /// Look at dead letters, replay them, give them up.
    #[command(
        subcommand,
        after_help = "\
Examples:
  signalbox dead list --group
  signalbox dead replay --integration oncall --dry-run
  signalbox dead replay --integration oncall"
    )]
    Dead(dead::Command),
    /// Send accepted events of the past to one integration.
    Replay(replay::Args),
    /// Look at bulk acts, stop them, let them go on.
    #[command(subcommand, after_help = "Example:\n  signalbox acts list --status running")]
    Acts(acts::Command),
    /// List the kinds of targets, or show what one of them takes.
    Providers(providers::Args),
    /// Look at event types; register your own with title, emoji, severity, tone and a JSON Schema.
    #[command(
        subcommand,
        after_help = "\
Examples:
  signalbox event-types list
  signalbox event-types put deploy.done --title 'Deployed' --emoji 🚀 --tone good"
    )]
    EventTypes(event_types::Command),
    /// Make, list, rotate and revoke API keys; rotate the master key.
    #[command(
        subcommand,
        after_help = "\
Examples:
  signalbox keys create ci --scope events:write
  signalbox keys list
  signalbox keys revoke 0199c0de-0000-7000-8000-000000000001"
    )]
    Keys(keys::Command),
    /// Look at the tenants, make one, erase one.
    #[command(
        subcommand,
        after_help = "\
Examples:
  signalbox orgs list
  signalbox orgs create acme --title 'Acme Ltd'"
    )]
    Orgs(orgs::Command),
    /// Erase an event for good.
    #[command(subcommand, after_help = "Example:\n  signalbox events erase order-17 --dry-run")]
    Events(erase::Command),
    /// Say who changed what, when, and from where.
    Audit(audit::Args),
    /// Count what happened: deliveries, rates, times, and what waits.
    Stats(stats::Args),
    /// Print what happens as it happens: events, deliveries or dead letters.
    Tail(tail::Args),
    /// Print the whole story of an event as a tree.
    Trace(trace::Args),
    /// Say what is wrong with this installation, and the remedy.
    Doctor(doctor::Args),
    /// Print the effective settings, secrets masked, and where each came from.
    Config(config::Args),
    /// Measure this machine.
    Bench(bench::Args),
    /// Print the completions for a shell.
    Completions(completions::Args),
}

/// Reads the command line, does what it says, and tells how that went.
pub(crate) fn main() -> ExitCode {
    let cli = match read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let arguments: Vec<String> = std::env::args_os()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect();
            return usage::report(&error, &arguments);
        }
    };
    let format = cli.global.output;
    // The only failure is that one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(anyhow::Error::new(error).context("cannot start")).report(format),
    };
    // Roles share this thread, so they need not be able to move to another.
    let result = tokio::task::LocalSet::new().block_on(&runtime, dispatch(cli));
    // Reads of standard input cannot be interrupted; everything else has ended.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(format),
    }
}

/// Reads a command line. What stands on it counts more than the environment: the data dir that it names has the key,
/// whatever `SIGNALBOX_KEY` says.
fn read(arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>) -> Result<Cli, clap::Error> {
    let arguments = ids::last(arguments.into_iter().map(Into::into));
    let matches = Cli::command().try_get_matches_from(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    let source = |name| matches.value_source(name);
    if source("data_dir") == Some(ValueSource::CommandLine) && source("key") == Some(ValueSource::EnvVariable) {
        cli.global.key = None;
    }
    Ok(cli)
}

async fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    let output = Output::new(global.output);
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Up(args) => up::run(args, &global).await.map(done),
        Command::Demo(args) => demo::run(args, &global).await.map(done),
        Command::Run(args) => roles::run(args, &global).await.map(done),
        Command::Publish(args) => publish::run(args, &Client::new(&global)?, &output).await.map(done),
        Command::Plan(args) => apply::plan(args, &Client::new(&global)?, &output).await.map(done),
        Command::Apply(args) => apply::apply(args, &Client::new(&global)?, &output).await.map(done),
        Command::Export(args) => apply::export(args, &Client::new(&global)?, &output).await.map(done),
        Command::Integrations(command) => integrations::run(command, &Client::new(&global)?, &output).await,
        Command::Pause(args) => holding::pause(args, &Client::new(&global)?, &output).await.map(done),
        Command::Resume(args) => holding::resume(args, &Client::new(&global)?, &output).await.map(done),
        Command::Deliveries(command) => deliveries::run(command, &Client::new(&global)?, &output)
            .await
            .map(done),
        Command::Dead(command) => dead::run(command, &Client::new(&global)?, &output).await.map(done),
        Command::Replay(args) => replay::run(args, &Client::new(&global)?, &output).await.map(done),
        Command::Acts(command) => acts::run(command, &Client::new(&global)?, &output).await.map(done),
        Command::Providers(args) => providers::run(args, &Client::new(&global)?, &output).await.map(done),
        Command::EventTypes(command) => event_types::run(command, &Client::new(&global)?, &output)
            .await
            .map(done),
        Command::Keys(command) => keys::run(command, &Client::new(&global)?, &output).await.map(done),
        Command::Orgs(command) => orgs::run(command, &Client::new(&global)?, &output).await.map(done),
        Command::Events(command) => erase::run(command, &Client::new(&global)?, &output).await.map(done),
        Command::Audit(args) => audit::run(args, &Client::new(&global)?, &output).await.map(done),
        Command::Stats(args) => stats::run(args, &Client::new(&global)?, &output).await.map(done),
        Command::Tail(args) => tail::run(args, &Client::new(&global)?, &output).await.map(done),
        Command::Trace(args) => trace::run(args, &Client::new(&global)?, &output).await.map(done),
        Command::Doctor(args) => doctor::run(args, &Client::new(&global)?, &output).await,
        Command::Config(args) => config::run(args, &global, &output).map(done),
        Command::Completions(args) => completions::run(&args).map(done),
        Command::Bench(args) => {
            let settings = crate::settings::Loaded::new(&crate::settings::load(global.settings.as_deref())?)?;
            let setup = bench::Setup {
                json: global.output == Format::Json,
                server_path: settings.server.server_path,
                durability: settings.server.durability,
            };
            Ok(bench::run(args, setup).await?)
        }
    }
}

/// A line for people on standard error, where it does not get into what programs read.
pub(crate) fn say(line: &str) {
    // There is nobody to tell that standard error is closed.
    drop(writeln!(std::io::stderr(), "{line}"));
}

#[cfg(test)]
mod tests;
