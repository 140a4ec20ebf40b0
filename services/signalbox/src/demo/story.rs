//! What the demonstration does, one step after another.

use std::{cell::OnceCell, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use super::{
    receiver::{BROKEN, CHAT, Receiver, SHAKY},
    shell,
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
    /// The event whose story is worth a look: the one that failed at a target.
    failed_id: OnceCell<String>,
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
            failed_id: OnceCell::new(),
        })
    }

    /// Tells it all; where it stays, it never ends by itself.
    pub(super) async fn tell(self) -> Result<(), Failure> {
        self.open().await?;
        for (event_type, data) in events() {
            self.publish(event_type, data).await?;
            sleep(PAUSE).await;
        }
        let letter = self.dead_letter().await?;
        within("the deliveries", self.receiver.taken(TAKEN)).await?;
        // Others may publish and replay from here on: what the samples came to is known already, but for one.
        let (taken, refused) = self.receiver.counts();
        self.replay(&letter).await?;
        self.close(taken + 1, refused).await
    }

    /// Says what runs, and makes the integrations.
    async fn open(&self) -> Result<(), Failure> {
        let Up { api, nats, .. } = self.up;
        let people = format!(
            "Signalbox runs on this machine, all of it, until the demonstration ends:\n  API    {api}\n  NATS   {nats}\n  files  {}\n",
            self.data_dir.display()
        );
        let fields = json!({ "api": api, "nats": nats, "data_dir": self.data_dir });
        self.teller.step(Mood::Plain, "ready", &people, fields);
        let body = json!({ "integrations": self.integrations() });
        self.client.post(&["apply"], &[], &body).await?;
        let shown = "\
Five integrations say who is told of what. Their targets are in this process too, called over HTTP:
  audit      webhook  every event (here without Signalbox's own, such as delivery.dead)
  on-call    webhook  the same, from severity high on
  team-chat  slack    alerts, failed executions, canaries; bad news mention <!here>
  shaky      webhook  canaries that start; its target fails once
  broken     webhook  failed executions; its target fails until it is repaired

Time since the start, then: → published   ✓ taken   ✗ failed   ☠ given up, kept as a dead letter
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
            "\nThe target of broken still fails. That integration's schedule is two more attempts, about 1 s and\n\
             then about 2 s later; after them its delivery is given up:\n",
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
        if let Some(event) = letter["event"]["id"].as_str() {
            self.failed_id.get_or_init(|| event.to_owned());
        }
        let tries = letter["attempts"].as_array().map_or(0, Vec::len);
        let people = format!(
            "{}    ☠ {BROKEN:<9}  dead letter {id}, {tries} attempts: {}",
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
            "{} dead replay {letter} --url {} --data-dir {}",
            shell::program(),
            self.up.api,
            shell::quoted(self.data_dir)
        );
        let people = format!(
            "\nNothing is lost: the dead letter holds the event. Its target is repaired now, and this delivers it:\n\n    \
             {line}\n"
        );
        self.teller
            .step(Mood::Plain, "remedy", &people, json!({ "command": line }));
        if self.stays {
            self.teller.say(
                Mood::Head,
                "Press Enter to run it here, or run it in another terminal. Ctrl-C ends the demonstration.",
            );
            tokio::select! {
                () = enter() => self.run(letter).await?,
                () = self.receiver.mended() => {}
            }
        } else {
            self.run(letter).await?;
        }
        within("the replayed delivery", self.receiver.mended()).await
    }

    /// Runs the very command that was shown, and shows what it prints.
    async fn run(&self, letter: &str) -> Result<(), Failure> {
        // What runs now, also where its file was replaced meanwhile.
        let own = Path::new("/proc/self/exe");
        let program = if own.exists() {
            own.to_owned()
        } else {
            std::env::current_exe().context("cannot find this program")?
        };
        let output = Command::new(program)
            .args(["dead", "replay", letter, "--url", &self.up.api, "--data-dir"])
            .arg(self.data_dir)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run this program")?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(anyhow!("the replay failed: {}", error.trim()).into());
        }
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let people = format!("{}    It prints: {printed}", self.teller.clock());
        self.teller
            .step(Mood::Plain, "replayed", &people, json!({ "printed": printed }));
        Ok(())
    }

    /// Says what came of it all.
    async fn close(&self, taken: u64, refused: u64) -> Result<(), Failure> {
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
        let people = format!(
            "\n{} events became {taken} deliveries. {refused} attempts failed on the way, and every delivery arrived:\n\
             `signalbox doctor` compared what was accepted with what arrived, and finds nothing wrong.",
            events().len()
        );
        let fields = json!({ "events": events().len(), "delivered": taken, "failed_attempts": refused, "doctor": doctor["status"] });
        self.teller.step(Mood::Good, "done", &people, fields);
        if !self.stays {
            return Ok(());
        }
        let program = shell::program();
        let people = format!(
            "\nIt goes on running. In another terminal:\n\n    export SIGNALBOX_URL={} SIGNALBOX_DATA_DIR={}\n    \
             unset SIGNALBOX_KEY\n    \
             {program} trace {}\n    \
             {program} publish alert.created --data '{{\"message\": \"hello\"}}' --wait\n    \
             {program} integrations list\n    {program} tail\n\nCtrl-C ends it and removes its folder.",
            self.up.api,
            shell::quoted(self.data_dir),
            self.failed_id.get().map_or("EVENT_ID", String::as_str),
        );
        self.teller.say(Mood::Plain, &people);
        std::future::pending().await
    }
}

/// The sample events.
fn events() -> [(&'static str, Value); 5] {
    [
        (
            "canary.started",
            json!({ "version": "1.4.2", "message": "1.4.2 takes 5 % of the traffic" }),
        ),
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
