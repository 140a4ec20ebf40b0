//! `signalbox completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox completions bash > ~/.local/share/bash-completion/completions/signalbox
  signalbox completions zsh > \"${fpath[1]}/_signalbox\"
  signalbox completions fish > ~/.config/fish/completions/signalbox.fish")]
pub(crate) struct Args {
    /// The shell that shall know the commands.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "signalbox", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
    Ok(())
}
