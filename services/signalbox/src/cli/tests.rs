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
        "signalbox dead list --group --type order.placed",
        "signalbox replay --since 2h --to i --dry-run",
        "signalbox replay --since 2h --until 1h --type alert.* --org acme --to i --all-types --rate 5 --no-wait",
        "signalbox acts list --status running --org acme --limit 5",
        "signalbox acts show a --follow",
        "signalbox acts cancel a",
        "signalbox deliveries list --integration a --provider webhook --status failed --type a.b --since 2h --until 1h --limit 5",
        "signalbox deliveries show d --org acme --integration a",
        "signalbox deliveries retry d e",
        "signalbox deliveries retry --integration a --rate 5 --no-wait",
        "signalbox deliveries discard --integration a --older-than 1h --dry-run --rate 5 --no-wait --status parked",
        "signalbox acts resume a --no-wait",
        "signalbox trace e --source s --since 2h",
        "signalbox tail",
        "signalbox tail deliveries --type execution.* --integration a --org acme --since 10m --output json",
        "signalbox tail dead",
        "signalbox publish a.b --wait",
        "signalbox publish a.b --wait=30s --id x",
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

/// A line as a shell splits it, up to what it passes on.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '>') if words.iter().any(|word| word == "signalbox") => break,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    let program = words
        .iter()
        .position(|word| word == "signalbox")
        .expect("it runs signalbox");
    words
        .split_off(program)
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn every_command_has_examples_that_can_be_copied_and_are_read() {
    let mut commands = vec![Cli::command()];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        let name = command.get_name().to_owned();
        let help = command
            .get_after_help()
            .or(command.get_after_long_help())
            .map(ToString::to_string)
            .unwrap_or_default();
        let examples = help.split_once("Example").map(|(_, examples)| examples.to_owned());
        let examples = examples.unwrap_or_else(|| panic!("{name} has no examples"));
        // A line that is indented further says something about the one above it.
        let lines = examples
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let before = seen;
        for line in lines {
            assert!(line.chars().count() <= 99, "{name}: help would break it: {line}");
            assert!(!line.contains('…'), "{name}: it cannot be copied: {line}");
            let read = super::read(words(line));
            assert!(
                read.is_ok(),
                "{line}: {}",
                read.err().map(|error| error.to_string()).unwrap_or_default()
            );
            seen += 1;
        }
        assert!(seen > before, "{name} has no examples");
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn what_contradicts_itself_is_a_usage_error() {
    for line in [
        "signalbox",
        "signalbox run",
        "signalbox run clerk",
        "signalbox pause",
        "signalbox pause --integration a --all",
        "signalbox pause --integration a --provider b",
        "signalbox apply",
        "signalbox dead replay dl_1 --wait --no-wait",
        "signalbox replay --since 2h",
        "signalbox replay --to i",
        "signalbox acts cancel",
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
        "signalbox tail everything",
        "signalbox export --org ",
        "signalbox apply -f i.yaml --prune --org ",
    ] {
        assert_eq!(read(line).err().map(|error| error.exit_code()), Some(2), "{line}");
    }
}
