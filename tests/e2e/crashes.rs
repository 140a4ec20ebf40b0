//! `kill -9` at random moments under load.
//!
//! The invariant: every publish that was acknowledged arrives, the ledger is even, nothing moves at the end, and what
//! arrives twice is bounded by what was in the air. A role alone repeats at most the requests that were sent and not
//! yet acknowledged; the server, or all of `up`, also what was routed in the second before.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{
    Answer, Client, Cluster, Load, Seed, Target, Up, eventually, load::Accepted, pause, process::signal,
    seed::soak_rounds,
};

/// What a killed worker held comes again after the consumers' ack wait of 20 s.
const AFTER_CRASH: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(20);
const PER_SECOND: u64 = 500;
const PATH: &str = "/all";
/// What the receiver had in this time before a kill bounds what may come twice. It is generous: requests in flight and
/// an outcome batch are what was received in the last 50 ms.
const IN_THE_AIR: Duration = Duration::from_secs(1);
/// How long the receiver takes for an answer.
const ANSWER_AFTER: Duration = Duration::from_millis(20);
/// The receiver's clock and ours meet within this.
const SLACK: Duration = Duration::from_millis(250);

/// How much is played.
#[derive(Clone, Copy)]
struct Form {
    /// Loads, each of which ends in quiet and is judged by itself.
    rounds: u32,
    /// Kills in one load.
    kills: u32,
    /// Events of one load.
    events: usize,
}

const SHORT: Form = Form {
    rounds: 1,
    kills: 2,
    events: 3_000,
};

fn long() -> Form {
    Form {
        rounds: soak_rounds(),
        kills: 1,
        events: 1_500,
    }
}

/// What may come twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    /// Nothing: this role sends no requests.
    None,
    /// Requests that were sent and not yet acknowledged.
    Sent,
    /// Also what was routed in the second before.
    Routed,
}

/// What is killed and started again.
trait Victim {
    async fn kill(&mut self);
    async fn restart(&mut self);
    fn client(&self) -> Client;
    fn assert_alive(&mut self);
}

struct OneRole(Cluster, &'static str);
struct Server(Cluster);
/// The nats-server that `up` runs, which `up` starts again by itself.
struct Child(Up);

impl Victim for OneRole {
    async fn kill(&mut self) {
        self.0.role(self.1).kill().await;
    }
    async fn restart(&mut self) {
        self.0.role(self.1).restart().await;
    }
    fn client(&self) -> Client {
        self.0.client().clone()
    }
    fn assert_alive(&mut self) {
        self.0.assert_alive();
    }
}

impl Victim for Server {
    async fn kill(&mut self) {
        self.0.server.kill().await;
    }
    async fn restart(&mut self) {
        self.0.server.restart().await;
    }
    fn client(&self) -> Client {
        self.0.client().clone()
    }
    fn assert_alive(&mut self) {
        self.0.assert_alive();
    }
}

impl Victim for Child {
    async fn kill(&mut self) {
        let servers = self.0.servers();
        assert_eq!(servers.len(), 1, "up has one nats-server");
        signal(servers[0], Signal::KILL);
        eventually(SOON, "the killed server is gone", async || {
            if self.0.servers() == servers {
                Err("it is there".to_owned())
            } else {
                Ok(())
            }
        })
        .await;
    }
    async fn restart(&mut self) {
        eventually(SOON, "up has started a new server", async || {
            match self.0.servers().len() {
                1 => Ok(()),
                count => Err(format!("{count} servers")),
            }
        })
        .await;
    }
    fn client(&self) -> Client {
        self.0.client().clone()
    }
    fn assert_alive(&mut self) {
        self.0.assert_alive();
    }
}

impl Victim for Up {
    async fn kill(&mut self) {
        Self::kill(self).await;
        assert_eq!(self.servers().len(), 1, "its nats-server stays behind");
    }
    async fn restart(&mut self) {
        Self::restart(self).await;
        assert_eq!(
            self.servers().len(),
            1,
            "the server that was left behind is gone, and a new one there"
        );
    }
    fn client(&self) -> Client {
        Self::client(self).clone()
    }
    fn assert_alive(&mut self) {
        Self::assert_alive(self);
    }
}

async fn survive(name: &str, mut victim: impl Victim, form: Form, repeats: Repeats) {
    let mut seed = Seed::of(name);
    let client = victim.client();
    let target = Target::start().await;
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
            "retry": { "schedule": ["1s", "1s", "1s", "1s", "1s"] },
        }]))
        .await;
    // Slow enough that requests are under way at every moment, and failing often enough that some wait for a retry.
    let answer = |number: usize| Answer::status(if number.is_multiple_of(10) { 503 } else { 200 }).after(ANSWER_AFTER);
    let (mut accepted_in_all, mut repeats_in_all) = (0, 0);
    for round in 0..form.rounds {
        target.script(
            PATH,
            (0..=form.events)
                .map(answer)
                .chain([Answer::status(200).after(ANSWER_AFTER)]),
        );
        let load = Load::start(&client, "tick", Some(&format!("r{round}")), PER_SECOND, form.events);
        let lasts_ms = form.events as u64 * 1_000 / PER_SECOND;
        let mut kills = Vec::new();
        for _ in 0..form.kills {
            pause(seed.millis(200..lasts_ms / u64::from(form.kills))).await;
            let at = Instant::now();
            victim.kill().await;
            pause(seed.millis(0..300)).await;
            victim.restart().await;
            kills.push(at);
        }
        let accepted = load.finish().await;
        accepted_in_all += accepted.len();
        target.wait_for_events(PATH, accepted_in_all, AFTER_CRASH).await;
        let ledger = client.settled(AFTER_CRASH).await;
        let by_event = target.by_event(PATH);
        let lost: Vec<&String> = accepted.ids.iter().filter(|id| !by_event.contains_key(*id)).collect();
        assert!(
            lost.is_empty(),
            "{} of {} are lost: {lost:?}",
            lost.len(),
            accepted.len()
        );
        // Notices of deliveries that fail are events too; here nobody wants them.
        assert_eq!(ledger["deliveries"], accepted_in_all, "{ledger}");
        assert_eq!(ledger["delivered"], accepted_in_all, "{ledger}");

        let came_twice = target.repeats(PATH) - repeats_in_all;
        repeats_in_all += came_twice;
        let bound: usize = kills
            .iter()
            .map(|at| in_the_air(&target, &accepted, *at, repeats))
            .sum();
        eprintln!(
            "{name}, round {round}: {} accepted ({} tries more), {} kills, {came_twice} came twice (bound {bound})",
            accepted.len(),
            accepted.tried_again,
            kills.len()
        );
        assert!(came_twice <= bound, "{came_twice} came twice, more than {bound}");
        victim.assert_alive();
    }
}

fn in_the_air(target: &Target, accepted: &Accepted, at: Instant, repeats: Repeats) -> usize {
    let received = || target.count_within(PATH, at - IN_THE_AIR, at + SLACK);
    match repeats {
        Repeats::None => 0,
        Repeats::Sent => received(),
        Repeats::Routed => received() + accepted.within(at - IN_THE_AIR, at),
    }
}

async fn role(name: &'static str, form: Form, repeats: Repeats) {
    survive(
        &format!("kill -9 of {name}"),
        OneRole(Cluster::start().await, name),
        form,
        repeats,
    )
    .await;
}

async fn server(form: Form) {
    survive(
        "kill -9 of nats-server",
        Server(Cluster::start().await),
        form,
        Repeats::Routed,
    )
    .await;
}

async fn child(form: Form) {
    survive(
        "kill -9 of the nats-server of up",
        Child(Up::start().await),
        form,
        Repeats::Routed,
    )
    .await;
}

async fn all(form: Form) {
    survive("kill -9 of up", Up::start().await, form, Repeats::Routed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_ingest_loses_nothing_and_repeats_nothing() {
    role("ingest", SHORT, Repeats::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_router_loses_nothing_and_repeats_nothing() {
    role("router", SHORT, Repeats::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_delivery_loses_nothing_and_repeats_what_was_in_the_air_at_most() {
    role("delivery", SHORT, Repeats::Sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_keeper_loses_nothing_and_repeats_nothing() {
    role("keeper", SHORT, Repeats::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_keeper_while_it_lets_go_what_was_parked_loses_nothing_and_repeats_nothing() {
    const PARKED: usize = 1_500;
    let mut seed = Seed::of("kill -9 of keeper while it drains");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
        }]))
        .await;
    client.hold("all").await;
    Load::start(&client, "tick", Some("e"), 1_000, PARKED).finish().await;
    eventually(SOON, "all of them are parked", async || {
        match client.waiting("all").await? {
            (0, 0, parked) if parked == PARKED as u64 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    client.post("/v1/integrations/all/resume", json!({ "rate": 400 })).await;
    for _ in 0..3 {
        let seen = target.count(PATH);
        target.wait_for(PATH, seen + 1, AFTER_CRASH).await;
        pause(seed.millis(0..600)).await;
        cluster.role("keeper").kill().await;
        cluster.role("keeper").restart().await;
    }
    target.wait_for_events(PATH, PARKED, AFTER_CRASH).await;
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], PARKED, "{ledger}");
    assert_eq!(target.repeats(PATH), 0, "nothing comes twice");
    eventually(SOON, "the integration is open again", async || {
        let integration = client.integration("all").await;
        if integration["status"] == "active" {
            Ok(())
        } else {
            Err(integration.to_string())
        }
    })
    .await;
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_nats_server_loses_nothing_and_repeats_what_was_routed_in_the_second_before_at_most() {
    server(SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_of_nats_server_longer_than_any_request_end_no_role_also_while_integrations_change() {
    let mut seed = Seed::of("outages of nats-server");
    let mut cluster = Cluster::start().await;
    let target = Target::start().await;
    let client = cluster.client().clone();
    let integrations = |changes: usize| {
        let integration = |name: String, timeout: usize| {
            json!({
                "name": name, "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
                "timeout": format!("{timeout}s"), "enabled": name == "all",
            })
        };
        json!([
            integration("all".to_owned(), 10 + changes),
            integration(format!("new-{changes}"), 10)
        ])
    };
    client.apply(integrations(0)).await;
    let load = Load::start(&client, "tick", Some("e"), 200, 6_000);
    for outage in 1..=3 {
        pause(seed.millis(500..1_500)).await;
        // Answered or not: the change may be cut off anywhere.
        let changing = tokio::spawn({
            let (client, integrations) = (client.clone(), integrations(outage));
            async move { client.try_apply(integrations).await.status }
        });
        pause(seed.millis(0..30)).await;
        cluster.server.kill().await;
        pause(seed.millis(6_000..7_000)).await;
        cluster.assert_roles_alive();
        cluster.server.restart().await;
        let status = changing.await.expect("the API answers, NATS or not");
        eprintln!("outage {outage}: the change was answered with {status}");
        assert!(matches!(status, 200 | 409 | 503), "{status}");
    }
    let accepted = load.stop().await;
    target.wait_for_events(PATH, accepted.len(), AFTER_CRASH).await;
    let ledger = client.settled(AFTER_CRASH).await;
    assert_eq!(ledger["delivered"], accepted.len(), "{ledger}");
    cluster.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_the_first_worker_of_a_provider_starts_ends_nothing() {
    let mut seed = Seed::of("first worker");
    for _ in 0..3 {
        let mut up = Up::start().await;
        let target = Target::start().await;
        let client = up.client().clone();
        let integrations = json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
        }]);
        let applying = tokio::spawn({
            let (client, integrations) = (client.clone(), integrations.clone());
            async move { client.try_apply(integrations).await.status }
        });
        pause(seed.millis(0..20)).await;
        signal(up.servers()[0], Signal::KILL);
        let status = applying.await.expect("the API answers, NATS or not");
        eventually(SOON, "the integration is applied", async || {
            up.assert_alive();
            let answer = client.try_apply(integrations.clone()).await;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
        let accepted = Load::start(&client, "tick", Some("e"), 100, 50).finish().await;
        eventually(
            SOON,
            &format!("all arrive (the first apply was answered with {status})"),
            async || {
                up.assert_alive();
                let arrived = target.by_event(PATH).len();
                if arrived == accepted.len() {
                    Ok(())
                } else {
                    Err(format!("{arrived}"))
                }
            },
        )
        .await;
        up.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_starts_its_killed_nats_server_again_and_nothing_is_lost() {
    child(SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_all_of_up_loses_nothing_and_repeats_what_was_routed_in_the_second_before_at_most() {
    all(SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: many rounds"]
async fn soak_killing_ingest() {
    role("ingest", long(), Repeats::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: many rounds"]
async fn soak_killing_the_router() {
    role("router", long(), Repeats::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: many rounds"]
async fn soak_killing_delivery() {
    role("delivery", long(), Repeats::Sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: many rounds"]
async fn soak_killing_the_keeper() {
    role("keeper", long(), Repeats::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: many rounds"]
async fn soak_killing_nats_server() {
    server(long()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: many rounds"]
async fn soak_killing_the_nats_server_of_up() {
    child(long()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: many rounds"]
async fn soak_killing_all_of_up() {
    all(long()).await;
}
