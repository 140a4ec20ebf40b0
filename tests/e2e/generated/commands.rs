//! Every command of the program that changes something leaves one entry in the audit for each thing that it changes, and
//! every other command none. The commands are read from its help: one that is new has to be told of here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{examples, world::World};
use crate::harness::Client;

/// What a command does to the audit.
enum Does {
    /// It only reads, or works on no installation that runs.
    Nothing,
    /// It publishes: an event is its own record.
    Publishes,
    /// It changes something: arguments, and the entries that they leave.
    Changes(&'static [&'static str], &'static [&'static str]),
}

use Does::{Changes, Nothing, Publishes};

/// All commands, in an order in which they can be called. `{…}` is a thing of the org acme, `{key}` one of its keys.
const COMMANDS: &[(&str, Does)] = &[
    ("up", Nothing),
    ("demo", Nothing),
    ("run", Nothing),
    ("bench", Nothing),
    ("config", Nothing),
    ("completions", Nothing),
    ("plan", Nothing),
    ("export", Nothing),
    ("audit", Nothing),
    ("tail", Nothing),
    ("trace", Nothing),
    ("doctor", Nothing),
    ("providers", Nothing),
    ("integrations list", Nothing),
    ("integrations show", Nothing),
    ("integrations preview", Nothing),
    ("deliveries list", Nothing),
    ("deliveries show", Nothing),
    ("dead list", Nothing),
    ("dead show", Nothing),
    ("acts list", Nothing),
    ("acts show", Nothing),
    ("event-types list", Nothing),
    ("event-types show", Nothing),
    ("keys list", Nothing),
    ("orgs list", Nothing),
    ("stats", Nothing),
    ("integrations try", Nothing),
    ("publish", Publishes),
    (
        "orgs create",
        Changes(&["late", "--title", "Late Ltd"], &["org.created"]),
    ),
    (
        "event-types put",
        Changes(&["put.now", "--title", "Put", "--org", "acme"], &["event_type.created"]),
    ),
    (
        "event-types delete",
        Changes(&["put.now", "--org", "acme"], &["event_type.deleted"]),
    ),
    (
        "keys create",
        Changes(
            &["made", "--scope", "events:write", "--org", "acme"],
            &["api_key.created"],
        ),
    ),
    ("keys rotate", Changes(&["{key}"], &["api_key.rotated"])),
    ("keys revoke", Changes(&["{key}"], &["api_key.revoked"])),
    (
        "apply",
        Changes(
            &["--file", "{file}", "--org", "acme"],
            &["integration.created", "integration.updated"],
        ),
    ),
    (
        "integrations pause",
        Changes(&["oncall", "--org", "acme"], &["integration.paused"]),
    ),
    (
        "integrations resume",
        Changes(&["oncall", "--org", "acme"], &["integration.resumed"]),
    ),
    (
        "pause",
        Changes(&["--integration", "oncall", "--org", "acme"], &["integration.paused"]),
    ),
    (
        "resume",
        Changes(&["--integration", "oncall", "--org", "acme"], &["integration.resumed"]),
    ),
    (
        "integrations test",
        Changes(&["oncall", "--org", "acme"], &["integration.tested"]),
    ),
    (
        "integrations delete",
        Changes(&["only-acme", "--org", "acme"], &["integration.deleted"]),
    ),
    (
        "deliveries retry",
        Changes(&["--integration", "fails", "--org", "acme"], &["deliveries.retried"]),
    ),
    (
        "deliveries discard",
        Changes(&["--integration", "held", "--org", "acme"], &["deliveries.discarded"]),
    ),
    (
        "dead replay",
        Changes(
            &["{letter}", "--to", "oncall", "--org", "acme"],
            &["dead_letters.replayed"],
        ),
    ),
    (
        "dead discard",
        Changes(&["--integration", "held", "--org", "acme"], &["dead_letters.discarded"]),
    ),
    (
        "replay",
        Changes(
            &[
                "--since",
                "1h",
                "--type",
                "many.made",
                "--all-types",
                "--to",
                "oncall",
                "--org",
                "acme",
                "--rate",
                "1",
                "--no-wait",
            ],
            &["events.replayed"],
        ),
    ),
    ("acts cancel", Changes(&["{running}"], &["act.cancelled"])),
    ("doctor", Changes(&["--repair"], &["installation.repaired"])),
    (
        "events erase",
        Changes(&["only-acme", "--org", "acme"], &["event.erasure_begun"]),
    ),
    (
        "orgs erase",
        Changes(&["late", "--confirm", "late"], &["org.erasure_begun"]),
    ),
    ("keys rotate-master", Changes(&[], &["master_key.rotated"])),
    ("acts resume", Changes(&["{running}", "--no-wait"], &["act.resumed"])),
];

/// The commands below one, by what its help says.
async fn below(client: &Client, command: &[String]) -> Vec<String> {
    let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    arguments.push("--help");
    let (code, help) = client.command(&arguments).await;
    assert_eq!(code, 0, "{arguments:?}");
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        name.split_whitespace().next().map(str::to_owned)
    });
    names.filter(|name| name != "help").collect()
}

/// All commands that can be called.
async fn commands(client: &Client) -> Vec<String> {
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    let mut all = Vec::new();
    while let Some(command) = open.pop() {
        let below = below(client, &command).await;
        if below.is_empty() {
            all.push(command.join(" "));
        }
        open.extend(below.into_iter().map(|name| [command.as_slice(), &[name]].concat()));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_that_changes_something_leaves_one_entry_for_each_thing() {
    let world = World::start().await;
    let client = world.up.client();
    let known: BTreeMap<&str, &Does> = COMMANDS.iter().map(|(name, does)| (*name, does)).collect();
    for command in commands(client).await {
        assert!(
            known.contains_key(command.as_str()),
            "say in COMMANDS of tests/e2e/generated/commands.rs what `signalbox {command}` leaves in the audit"
        );
    }
    let file = world.up.data_dir().join("integrations.yaml");
    let hook = |name: &str, events: &str| json!({ "name": name, "provider": "webhook", "events": [events], "config": { "url": world.target.url("/takes") } });
    // What is given in JSON is YAML.
    let wanted = json!({ "integrations": [hook("oncall", "order.>"), hook("added", "added.*")] });
    std::fs::write(&file, wanted.to_string()).expect("the file can be written");
    let many: Vec<Value> = (0..60)
        .map(|number| json!({ "type": "many.made", "data": { "n": number } }))
        .collect();
    world
        .ask(&world.acme.key.text, "POST", "/v1/events", Some(json!(many)))
        .await
        .ok();
    let mut running = String::new();
    for (name, does) in COMMANDS.iter() {
        let (arguments, expected) = match does {
            Nothing => continue,
            Publishes => (&["order.none", "--org", "acme"][..], &[][..]),
            Changes(arguments, expected) => (*arguments, *expected),
        };
        let before = examples::audit(&world).await.len();
        let filled: Vec<String> = name
            .split(' ')
            .chain(arguments.iter().copied())
            .map(|word| match word {
                "{key}" => world.acme.thing("key").to_owned(),
                "{letter}" => world.acme.thing("letter").to_owned(),
                "{file}" => file.to_str().expect("a path in UTF-8").to_owned(),
                "{running}" => running.clone(),
                other => other.to_owned(),
            })
            .collect();
        let filled: Vec<&str> = filled.iter().map(String::as_str).collect();
        if *name == "doctor" {
            examples::drift(&world).await;
        }
        let (code, out, error) = client
            .command_in(&[], &[filled.as_slice(), &["--output", "json"]].concat())
            .await;
        // The doctor may find something else.
        assert!(
            code == 0 || *name == "doctor" && code == 1,
            "signalbox {filled:?}: {out}{error}"
        );
        let answer: Value = serde_json::from_str(&out).unwrap_or_default();
        if *name == "replay" {
            running = answer["id"]
                .as_str()
                .unwrap_or_else(|| panic!("no act in {answer}"))
                .to_owned();
        }
        let after = examples::audit(&world).await;
        let new = &after[..after.len() - before];
        let mut actions: Vec<&str> = new.iter().filter_map(|entry| entry["action"].as_str()).collect();
        actions.sort_unstable();
        assert_eq!(actions, expected, "signalbox {filled:?}: {new:#?}");
        for entry in new {
            assert!(
                entry["request_id"].is_string() && entry["address"] == "127.0.0.1",
                "{entry}"
            );
        }
    }
    world.up.stop().await;
}
