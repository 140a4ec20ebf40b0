use clap::CommandFactory as _;

use super::*;

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_commands_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_that_is_named_in_the_documentation_is_read() {
    for line in [
        "signalbox up",
        "signalbox up -f integrations.yaml --data-dir d --listen 127.0.0.1:0 --nats-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --output json",
        "signalbox --output json run delivery --provider webhook --admin-listen 127.0.0.1:0",
        "signalbox run ingest router delivery keeper api",
        "signalbox publish execution.failed --org acme --data {} --id x",
        "signalbox plan -f i.yaml --prune",
        "signalbox apply -f i.yaml --prune --discard",
        "signalbox export",
        "signalbox integrations list --provider webhook --type webhook --status active",
        "signalbox integrations resume a --rate 5 --drop-older-than 1h",
        "signalbox integrations delete a --discard",
        "signalbox pause --integration a --org acme",
        "signalbox pause --org acme",
        "signalbox resume --all --rate 5 --drop-older-than 1h",
        "signalbox dead list --integration a --reason exhausted --stage delivery --since 1h",
        "signalbox dead replay dl_1 dl_2 --rate 5 --to b --dry-run",
        "signalbox dead discard --all --wait",
        "signalbox trace e --source s --since 2h",
        "signalbox providers",
        "signalbox providers webhook",
        "signalbox plan -f i.yaml --prune --org acme",
        "signalbox doctor --since 1h",
        "signalbox config",
        "signalbox bench --events 10",
    ] {
        assert!(
            read(line).is_ok(),
            "{line}: {}",
            read(line).err().map(|error| error.to_string()).unwrap_or_default()
        );
    }
}

#[test]
fn what_contradicts_itself_is_a_usage_error() {
    for line in [
        "signalbox",
        "signalbox run",
        "signalbox run recorder",
        "signalbox pause",
        "signalbox pause --integration a --all",
        "signalbox pause --integration a --provider b",
        "signalbox apply",
        "signalbox dead replay dl_1 --wait --no-wait",
        "signalbox publish",
        "signalbox publish a.b --org Acme",
        "signalbox pause --org ",
        "signalbox resume --provider ",
        "signalbox pause --integration a --org ",
        "signalbox integrations list --org ",
        "signalbox integrations show a --org ",
        "signalbox dead discard --all --org ",
        "signalbox dead show dl_1 --org ",
        "signalbox trace e --org ",
        "signalbox export --org ",
        "signalbox apply -f i.yaml --prune --org ",
    ] {
        assert_eq!(read(line).err().map(|error| error.exit_code()), Some(2), "{line}");
    }
}
