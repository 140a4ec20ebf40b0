//! The guide as it is printed, where the checkout lies beside it: each of its blocks, as written but for where its vendor is,
//! delivers what it asks for by the old names of events to a double of that vendor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use super::{publish, write};
use crate::harness::{
    Client, MailServer, Target, Up,
    sites::{Stand, Tracker, trackers},
    vendors,
};

const SOON: Duration = Duration::from_secs(90);
/// From the folder of these tests.
const GUIDE: &str = "../../shared/seeds/integrations-guide.md";
/// How many blocks of integrations it has.
const BLOCKS: usize = 14;
const TOKEN: &str = "a-token-that-must-not-be-shown";
const SPEC: &str = "FEAT-0001";

/// What happens, by the names that the guide has for it: a spec is written, and the second try builds it. The last is what no
/// block asks for.
const EVENTS: [&str; 9] = [
    "spec_created",
    "spec_approved",
    "implementation_started",
    "validation_failed",
    "implementation_failed",
    "pr_created",
    "implementation_completed",
    "pr_merged",
    "incident_created",
];
/// What trackers get that name none.
const SPECS: &[&str] = &["spec_", "implementation_", "pr_"];
/// What is measured where none is named.
const MEASURED: &[&str] = &["spec_", "implementation_", "pr_", "validation_"];

/// What a block becomes: the integration, what its events begin with, and a word of its requests.
type Made = (&'static str, &'static [&'static str], &'static str);

/// What each block becomes, by its key.
const WANTED: [(&str, &[Made]); BLOCKS] = [
    (
        "slack",
        &[(
            "slack",
            &["spec_approved", "implementation_completed", "implementation_failed"],
            SPEC,
        )],
    ),
    (
        "teams",
        &[("teams", &["implementation_completed", "implementation_failed"], SPEC)],
    ),
    (
        "discord",
        &[("discord", &["implementation_completed", "implementation_failed"], SPEC)],
    ),
    ("email", &[("email", &["implementation_failed", "pr_created"], SPEC)]),
    ("jira", &[("jira", SPECS, SPEC)]),
    ("linear", &[("linear", SPECS, SPEC)]),
    ("azure_devops", &[("azure_devops", SPECS, SPEC)]),
    ("github_projects", &[("github_projects", SPECS, SPEC)]),
    ("pagerduty", &[("pagerduty", &["implementation_failed"], SPEC)]),
    ("opsgenie", &[("opsgenie", &["implementation_failed"], SPEC)]),
    (
        "datadog",
        &[
            ("datadog-events", MEASURED, "team:platform"),
            ("datadog-metrics", MEASURED, "spec_ingestion."),
        ],
    ),
    ("new_relic", &[("new_relic", MEASURED, "SpecIngestion")]),
    (
        "sentry",
        &[("sentry", &["implementation_failed", "validation_failed"], "production")],
    ),
    (
        "webhooks",
        &[
            ("internal-system", &["spec_approved", "implementation_completed"], SPEC),
            ("analytics", &["implementation_completed"], SPEC),
        ],
    ),
];

/// The blocks of the guide with their keys, their indentation taken off.
fn blocks() -> Option<Vec<(String, String)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GUIDE);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!(
            "SKIPPED: {} is not there, so the guide's own blocks are not delivered",
            path.display()
        );
        return None;
    };
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(indent) = line.strip_suffix("```yaml") else {
            continue;
        };
        let example: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .map(|line| line.strip_prefix(indent).unwrap_or(line))
            .collect();
        let ["integrations:", key, ..] = example.as_slice() else {
            continue;
        };
        let key = key.trim().trim_end_matches(':').to_owned();
        blocks.push((key, example[1..].join("\n")));
    }
    let keys: Vec<&str> = blocks.iter().map(|(key, _)| key.as_str()).collect();
    let known: Vec<&str> = WANTED.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, known, "the guide has other blocks");
    Some(blocks)
}

/// Where the double of a block's vendor is, below the target.
fn place(key: &str, trackers: &[Tracker]) -> String {
    match trackers.iter().find(|tracker| tracker.provider == key) {
        // The sites of all trackers stand below such names.
        Some(tracker) => format!("/{}-of-the-guide", tracker.door),
        None => format!("/{key}"),
    }
}

/// A block with the address of its double instead of the printed one, or beside the rest where none is printed.
fn pointed(key: &str, block: &str, target: &Target, trackers: &[Tracker], mail: &MailServer) -> String {
    let address = target.url(&place(key, trackers));
    let smtp = mail.integration(key, &[], json!({}))["config"]["smtp"].clone();
    // Their addresses are secrets, which come from the environment.
    let is_secret = ["slack", "teams", "discord", "sentry"].contains(&key);
    let has_one = is_secret || ["email", "webhooks"].contains(&key) || block.contains("base_url:");
    let mut endpoint = "";
    let mut text = String::new();
    for line in block.lines() {
        let said = line.trim_start();
        let (indent, _) = line.split_at(line.len() - said.len());
        if let Some(name) = said.strip_prefix("- name: ") {
            endpoint = name.trim_matches('"');
        }
        if said.starts_with("base_url: ") {
            text.push_str(&format!("{indent}base_url: \"{address}\"\n"));
        } else if key == "email" && said.starts_with("host: ") {
            text.push_str(&format!("{indent}host: {}\n", smtp["host"]));
        } else if key == "email" && said.starts_with("port: ") {
            text.push_str(&format!("{indent}port: {}\n", smtp["port"]));
        } else if said.starts_with("url: ") {
            text.push_str(&format!(
                "{indent}url: \"{}\"\n",
                target.url(&format!("/{endpoint}/in"))
            ));
        } else {
            text.push_str(line);
            text.push('\n');
        }
        if said == "enabled: true" && !has_one {
            text.push_str(&format!("{indent}base_url: \"{address}\"\n"));
        }
    }
    text
}

/// The variables that the guide asks for.
fn variables(target: &Target) -> Vec<(&'static str, String)> {
    let key = |letter: &str, length: usize| letter.repeat(length);
    let dsn = target.url("/sentry/42");
    vec![
        ("SLACK_WEBHOOK_URL", target.url("/slack/services/T0/B0/x")),
        (
            "TEAMS_WEBHOOK_URL",
            target.url("/teams/workflows/1/triggers/manual/paths/invoke?api-version=1&sig=x"),
        ),
        (
            "DISCORD_WEBHOOK_URL",
            target.url("/discord/api/webhooks/1/token-of-the-webhook"),
        ),
        (
            "SENTRY_DSN",
            dsn.replace("http://", &format!("http://{}@", key("d", 32))),
        ),
        ("SMTP_USER", "signalbox".to_owned()),
        ("SMTP_PASSWORD", "hush hush".to_owned()),
        ("JIRA_EMAIL", "bot@example.com".to_owned()),
        ("JIRA_API_TOKEN", key("e", 16)),
        ("LINEAR_API_KEY", format!("lin_api_{}", key("g", 40))),
        ("AZURE_DEVOPS_PAT", key("f", 84)),
        ("GITHUB_REPOSITORY_OWNER", "acme".to_owned()),
        ("GITHUB_TOKEN", format!("ghp_{}", key("h", 36))),
        ("PAGERDUTY_ROUTING_KEY", key("a", 32)),
        ("OPSGENIE_API_KEY", "00000000-0000-4000-8000-000000000000".to_owned()),
        ("DATADOG_API_KEY", key("b", 32)),
        ("DATADOG_APP_KEY", key("b", 40)),
        ("NEW_RELIC_API_KEY", key("c", 40)),
        ("WEBHOOK_TOKEN", TOKEN.to_owned()),
        ("WEBHOOK_SECRET_ANALYTICS", "analytics-secret".to_owned()),
    ]
}

/// An old name as events have it.
fn event_type(old: &str) -> String {
    old.replacen('_', ".", 1)
}

fn data_of(old: &str) -> Value {
    let spec = |status: &str| json!({ "id": SPEC, "title": "User Authentication", "status": status });
    let pr = json!({ "number": 42, "url": "https://github.com/org/repo/pull/42" });
    match old {
        "spec_created" => json!({ "spec": spec("draft"), "acceptance_criteria": ["A user signs in"] }),
        "spec_approved" => json!({ "spec": spec("approved") }),
        "implementation_completed" => json!({ "spec": spec("implemented"), "pr": pr }),
        "pr_created" | "pr_merged" => json!({ "spec": { "id": SPEC, "title": "User Authentication" }, "pr": pr }),
        _ => json!({ "spec": { "id": SPEC, "title": "User Authentication" }, "error": "schema validation failed" }),
    }
}

/// All deliveries: integration, event, and how it ended.
async fn deliveries(client: &Client) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let integrations = client.get("/v1/integrations?limit=200").await;
    let items = integrations["items"].as_array().expect("a list");
    let names: BTreeMap<String, String> = items.iter().map(|one| (text(&one["id"]), text(&one["name"]))).collect();
    let page = client.get("/v1/deliveries?limit=200").await;
    assert_eq!(page["next_cursor"], Value::Null, "more than one page");
    let items = page["items"].as_array().expect("a list");
    let told = |one: &Value| {
        let name = names[&text(&one["integration_id"])].clone();
        (name, text(&one["event_type"]), text(&one["status"]))
    };
    items.iter().map(told).collect()
}

/// Opens the doubles of those trackers that are asked for, each with nothing in it.
fn open(trackers: &[Tracker], target: &Target) -> Vec<Arc<Stand>> {
    let open =
        |tracker: &Tracker| tracker.open(target, place(tracker.provider, trackers).trim_start_matches('/'), None);
    trackers.iter().map(open).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_of_the_guide_delivers_what_it_asks_for_to_its_vendor() {
    let Some(blocks) = blocks() else { return };
    let mail = MailServer::start().await;
    let up = Up::start_with(MailServer::trusted(&[&mail])).await;
    let target = Target::start().await;
    let client = up.client();
    let doors = vendors::doors(&target);
    let yes = |name: &str| {
        let door = doors.iter().find(|door| door.name == name);
        door.expect("a double of this name").yes.clone()
    };
    // One block of Datadog's becomes two integrations at one address.
    target.script_below("/datadog/api/v1/", [yes("datadog-events")]);
    target.script_below("/datadog/api/v2/", [yes("datadog-metrics")]);
    let trackers = trackers();
    let stands = open(&trackers, &target);

    let mut file = "integrations:\n".to_owned();
    let mut made: Vec<(&str, Made)> = Vec::new();
    for ((key, block), (_, becomes)) in blocks.iter().zip(WANTED) {
        file.push_str(&pointed(key, block, &target, &trackers, &mail));
        made.extend(becomes.iter().map(|one| (key.as_str(), *one)));
    }
    let variables = variables(&target);
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), &file);
    let (code, _, error) = client.command_in(&variables, &["apply", "-f", &path]).await;
    assert_eq!(code, 0, "{error}\n{file}");

    let mut wanted = BTreeSet::new();
    for (number, old) in EVENTS.into_iter().enumerate() {
        publish(client, &event_type(old), &format!("guide-{number}"), &data_of(old)).await;
        // A spec's life takes its time; what is told at once is a matter of the trackers' own scenarios.
        client.settled(SOON).await;
        let gets = |one: &Made| one.1.iter().any(|beginning| old.starts_with(beginning));
        let those = made.iter().filter(|(_, one)| gets(one));
        wanted.extend(those.map(|(_, (name, ..))| ((*name).to_owned(), event_type(old), "delivered".to_owned())));
    }
    assert_eq!(
        deliveries(client).await,
        wanted,
        "each gets what its block asks for, and nothing else"
    );
    for (key, (name, _, word)) in made.iter().filter(|(key, _)| *key != "email") {
        let place = match *key {
            "webhooks" => format!("/{name}/"),
            "datadog" if *name == "datadog-events" => "/datadog/api/v1/".to_owned(),
            "datadog" => "/datadog/api/v2/".to_owned(),
            key => format!("{}/", place(key, &trackers)),
        };
        let requests = target.received_below(&place);
        let says = |body: &[u8]| String::from_utf8_lossy(body).contains(word);
        let said = requests.iter().filter(|request| says(&request.body)).count();
        let asked = wanted.iter().filter(|(of, ..)| of == name).count();
        let is_tracker = trackers.iter().any(|tracker| tracker.provider == *key);
        let fits = if is_tracker { said >= 1 } else { said == asked };
        assert!(
            fits,
            "{name} was told of {word} {said} times, for {asked} events: {requests:#?}"
        );
    }
    for (tracker, stand) in trackers.iter().zip(&stands) {
        let has = stand.has();
        assert_eq!(has.issues, [tracker.lived.state], "{}: {has:#?}", tracker.provider);
        // Where subtasks are not asked for there are none.
        assert_eq!(
            (has.links.len(), has.subtasks.len()),
            (tracker.lived.links, 0),
            "{has:#?}"
        );
    }
    webhooks_have_the_old_names(&target);
    let mails = mail.mails();
    let to = |one: usize| {
        mails
            .get(one)
            .map(|mail| (mail.rcpt_to.join(", "), mail.text.contains(SPEC)))
    };
    assert_eq!(mails.len(), 2, "{mails:?}");
    assert_eq!(to(0), Some(("oncall@example.com".to_owned(), true)), "{mails:?}");
    assert_eq!(to(1), Some(("reviewers@example.com".to_owned(), true)), "{mails:?}");
    up.stop().await;
}

fn webhooks_have_the_old_names(target: &Target) {
    let names = |place: &str| -> Vec<String> {
        let requests = target.received_below(place);
        let name = |body: Value| body["event"].as_str().expect("a name").to_owned();
        requests.iter().map(|request| name(request.json())).collect()
    };
    assert_eq!(
        names("/internal-system/"),
        ["spec_approved", "implementation_completed"]
    );
    assert_eq!(names("/analytics/"), ["implementation_completed"]);
    for request in target.received_below("/internal-system/") {
        assert_eq!(request.header("authorization"), format!("Bearer {TOKEN}"));
    }
    for request in target.received_below("/analytics/") {
        assert!(request.header("x-signature-256").starts_with("sha256="));
    }
}
