//! `signalbox demo`: all of Signalbox on this machine with targets of its own, and what happens, as it happens.
//!
//! Nothing is acted: the events go the whole way, the targets answer over HTTP, the failing one is retried by its
//! schedule, dies, is listed by the API and replayed through it. Everything lies in a temporary folder that is removed
//! at the end.

use std::io::IsTerminal as _;

use crate::{
    cli::{Failure, Format, Global, say},
    scratch::Scratch,
    settings::{self, Loaded},
    up,
};

mod receiver;
mod shell;
mod story;
mod teller;

use receiver::Receiver;
use story::Story;
use teller::Teller;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
On a terminal it stays after its story, so that other commands can be tried on it; Ctrl-C ends it. Elsewhere, or with
--exit, it ends by itself.

Examples:
  signalbox demo
  signalbox demo --exit
  signalbox demo --output json | jq -r .step")]
pub(crate) struct Args {
    /// End after the story.
    #[arg(long)]
    exit: bool,
}

pub(crate) async fn run(args: Args, global: &Global) -> Result<(), Failure> {
    let mut overrides = vec![("egress.allow".to_owned(), toml::Value::from(vec!["127.0.0.0/8"]))];
    if std::env::var_os("SIGNALBOX_LOG__LEVEL").is_none() {
        // The story tells of failures itself. The last connection ends with its server, which is no news either.
        overrides.push(("log.level".to_owned(), "error".into()));
    }
    let loaded = Loaded::new(&settings::load_with(global.settings.as_deref(), &overrides)?)?;
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let teller = Teller::new(global.output == Format::Json);
    let scratch = Scratch::make("demo")?;
    let receiver = Receiver::start(teller.clone()).await?;
    let mut told = false;
    let served = up::serve(
        &up::Args::on_free_ports(),
        scratch.path(),
        loaded,
        async |up: &up::Up| {
            let stays = is_terminal && !args.exit && global.output != Format::Json;
            let story = Story::new(up, &receiver, &teller, scratch.path(), stays)?;
            tokio::select! {
                end = story.tell() => end?,
                // There is no one to tell the rest to.
                () = teller.unheard() => {}
            }
            told = true;
            Ok(())
        },
    )
    .await;
    let folder = scratch.path().display().to_string();
    drop(scratch);
    if served.is_ok() && !told && global.output != Format::Json {
        say(&format!(
            "\nThe demonstration was ended: everything is stopped, and {folder} is removed."
        ));
    }
    served
}
