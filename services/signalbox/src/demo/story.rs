//! What the demonstration does, one step after another.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    receiver::{BROKEN, CHAT, Receiver, SHAKY},
    teller::{Mood, Teller},
};
use crate::{
    cli::{Client, Failure},
    up::Up,
};

/// Between two events, so that a reader can follow.
const PAUSE: Duration = Duration::from_millis(600);
/// Between two looks for what is awaited.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How long a step may take on a slow machine.
const STEP_MAX: Duration = Duration::from_secs(60);
/// What is tried on the failing targets: twice more, soon.
const SCHEDULE: [&str; 2] = ["1s", "2s"];
/// Requests of the sample events that a target takes before anything is replayed: five to the audit, two to
/// whoever is on call, four to the chat, one to the target that was away.
const TAKEN: u64 = 12;

pub(super) struct Story<'a> {
    up: &'a Up,
    client: Client,
    receiver: &'a Receiver,
    teller: &'a Teller,
    data_dir: &'a Path,
    /// Whether it asks its reader and stays, or ends by itself.
    stays: bool,
}

impl<'a> Story<'a> {
    pub(super) fn new(
        up: &'a Up,
        receiver: &'a Receiver,
        teller: &'a Teller,
        data_dir: &'a Path,
        stays: bool,
    ) -> Result<Self, Failure> {
        Ok(Self {
            up,
            client: Client::of(&up.api, Some(up.key.clone()))?,
            receiver,
            teller,
            data_dir,
            stays,
        })
    }

    pub(super) async fn tell(self) -> Result<(), Failure> {
        self.open().await?;
        for (event_type, data) in events() {
            self.publish(event_type, data).await?;
            sleep(PAUSE).await;
        }
        let letter = self.dead_letter().await?;
        within("the deliveries", self.receiver.taken(TAKEN)).await?;
        self.replay(&letter).await?;
        self.close().await
    }

    /// Says what runs, and makes the integrations.
    async fn open(&self) -> Result<(), Failure> {
        let Up { api, nats, .. } = self.up;
        let people = format!(
            "Signalbox runs on this machine, all of it: nats-server at {nats}, API at {api},\neverything in {}.\n",
            self.data_dir.display()
        );
        let fields = json!({ "api": api, "nats": nats, "data_dir": self.data_dir });
        self.teller.step(Mood::Plain, "ready", &people, fields);
        let body = json!({ "integrations": self.integrations() });
        self.client.post(&["apply"], &[], &body).await?;
        let shown = "\
Five integrations subscribe, each with a target of its own in this process:
  audit      webhook  every event
  on-call    webhook  severity high and above
  team-chat  slack    alerts, failures, canaries
  shaky      webhook  canaries that start; its target is away for a moment
  broken     webhook  executions; its target answers 500
";
        self.teller
            .step(Mood::Plain, "applied", shown, json!({ "integrations": 5 }));
        Ok(())
    }

    fn integrations(&self) -> Value {
        let webhook = |name: &str, events: &[&str]| json!({ "name": name, "provider": "webhook", "events": events, "config": { "url": self.receiver.url(name) } });
        let mut on_call = webhook("on-call", &[">"]);
        on_call["filter"] = json!({ "min_severity": "high", "where": "!event.type.startsWith('delivery.')" });
        let mut audit = webhook("audit", &[">"]);
        audit["filter"] = json!({ "where": "!event.type.startsWith('delivery.')" });
        let mut shaky = webhook(SHAKY, &["canary.started"]);
        shaky["retry"] = json!({ "schedule": SCHEDULE });
        let mut broken = webhook(BROKEN, &["execution.failed"]);
        broken["retry"] = json!({ "schedule": SCHEDULE });
        let chat = json!({
            "name": CHAT,
            "provider": "slack",
            "events": ["alert.*", "execution.failed", "canary.*"],
            "config": { "webhook_url": self.receiver.url(CHAT), "mention_on_failure": ["@here"] },
        });
        json!([audit, on_call, chat, shaky, broken])
    }

    async fn publish(&self, event_type: &str, data: Value) -> Result<(), Failure> {
        let people = format!("{}  → {event_type} {data}", self.teller.clock());
        let event = json!({ "type": event_type, "data": data, "id": uuid() });
        let id = event["id"].as_str().unwrap_or_default();
        self.receiver.published(id, Instant::now());
        self.teller.step(
            Mood::Head,
            "published",
            &people,
            json!({ "type": event_type, "id": id }),
        );
        self.client.post(&["events"], &[], &event).await?;
        Ok(())
    }

    /// Waits for the dead letter of the failing target.
    async fn dead_letter(&self) -> Result<String, Failure> {
        self.teller.say(
            Mood::Plain,
            "\nThe target of broken answers 500: its delivery is tried again after 1 s and 2 s, and then given up.\n",
        );
        let found = within("the dead letter", async {
            loop {
                let query = [("integration", Some(BROKEN))];
                let list = self.client.get(&["dead-letters"], &query).await?;
                if let Some(letter) = list["items"].get(0) {
                    return Ok::<_, Failure>(letter.clone());
                }
                sleep(LOOK_PAUSE).await;
            }
        });
        let letter = found.await??;
        let id = letter["id"].as_str().context("a dead letter has an id")?.to_owned();
        let tries = letter["attempts"].as_array().map_or(0, Vec::len);
        let people = format!(
            "{}  ☠ dead letter {id} of {BROKEN} after {tries} attempts: {}",
            self.teller.clock(),
            letter["message"].as_str().unwrap_or_default()
        );
        let fields = json!({ "id": id, "attempts": tries, "message": letter["message"] });
        self.teller.step(Mood::Bad, "dead", &people, fields);
        Ok(id)
    }

    /// Repairs the target, and replays.
    async fn replay(&self, letter: &str) -> Result<(), Failure> {
        self.receiver.repair();
        let line = format!(
            "signalbox dead replay {letter} --url {} --data-dir {}",
            self.up.api,
            self.data_dir.display()
        );
        let people =
            format!("\nNothing of it is lost. Its target is repaired now, and this line delivers it:\n\n    {line}\n");
        self.teller
            .step(Mood::Plain, "remedy", &people, json!({ "command": line }));
        let before = self.receiver.counts().0;
        let mut asked = self.stays;
        if asked {
            self.teller.say(
                Mood::Head,
                "Press Enter to run it here, or run it in another terminal. Ctrl-C ends the demonstration.",
            );
            tokio::select! {
                () = enter() => {}
                () = self.receiver.taken(before + 1) => asked = false,
            }
        }
        if asked || !self.stays {
            let body = json!({ "ids": [letter] });
            self.client.post(&["dead-letters", "replay"], &[], &body).await?;
            within("the replayed delivery", self.receiver.taken(before + 1)).await?;
        }
        Ok(())
    }

    /// Says what came of it all.
    async fn close(&self) -> Result<(), Failure> {
        let findings = within("an even ledger", async {
            loop {
                let answer = self.client.get(&["doctor"], &[]).await?;
                if answer["status"] == "ok" {
                    return Ok::<_, Failure>(answer);
                }
                sleep(LOOK_PAUSE).await;
            }
        });
        let doctor = findings.await??;
        let (taken, refused) = self.receiver.counts();
        let people = format!(
            "\n{} events, {taken} deliveries, {refused} failed attempts, nothing lost: `signalbox doctor` finds nothing wrong.",
            events().len()
        );
        let fields = json!({ "events": events().len(), "delivered": taken, "failed_attempts": refused, "doctor": doctor["status"] });
        self.teller.step(Mood::Good, "done", &people, fields);
        if !self.stays {
            return Ok(());
        }
        let people = format!(
            "\nIt goes on running. In another terminal:\n\n    export SIGNALBOX_URL={} SIGNALBOX_DATA_DIR={}\n    \
             signalbox tail\n    signalbox publish alert.created --data '{{\"message\": \"hello\"}}'\n    \
             signalbox integrations list\n\nCtrl-C ends it and removes its folder.",
            self.up.api,
            self.data_dir.display()
        );
        self.teller.say(Mood::Plain, &people);
        std::future::pending().await
    }
}

/// The sample events.
fn events() -> [(&'static str, Value); 5] {
    [
        ("canary.started", json!({ "version": "1.4.2" })),
        (
            "alert.created",
            json!({ "title": "Latency is rising", "latency_ms": 840, "severity": "medium" }),
        ),
        (
            "execution.failed",
            json!({ "agent_id": "agent-7", "error": "disk full", "success_rate": 0.925 }),
        ),
        (
            "canary.rolled_back",
            json!({ "version": "1.4.2", "reason": "error rate above 2 %" }),
        ),
        ("system.recovered", json!({})),
    ]
}

fn uuid() -> String {
    uuid::Uuid::now_v7().to_string()
}

async fn within<T>(what: &str, step: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(STEP_MAX, step)
        .await
        .map_err(|_| anyhow!("{what} did not come within {} s", STEP_MAX.as_secs()).into())
}

/// Waits for a line on standard input; for ever where there is none to come.
async fn enter() {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    if !matches!(read.await, Ok(Ok(bytes)) if bytes > 0) {
        std::future::pending().await
    }
}
