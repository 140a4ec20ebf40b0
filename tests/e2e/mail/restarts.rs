//! A mail server that goes away in the midst of a thousand mails.
//!
//! Between the end of a mail and its answer only the server knows whether it has it. One that is asked to stop answers what it
//! has begun, so that each mail comes once. One that is killed there has taken mails that nobody knows of: they come again,
//! under the same `Message-ID`, byte by byte the same; the other way to decide would be to lose mails.

use std::collections::BTreeMap;

use super::*;
use crate::harness::{Load, Seed, pause};

const MAILS: usize = 1_000;
/// For all of them, on a machine that does much else.
const LATER: Duration = Duration::from_secs(240);
/// Connections of one integration: so many mails at most are on the way at a time.
const CONNECTIONS_MAX: usize = 16;

async fn start(server: &MailServer) -> Up {
    let mut settings = MailServer::trusted(&[server]);
    settings.insert("SIGNALBOX_DELIVERY__PROBE_FIRST_S".to_owned(), "2".to_owned());
    let up = Up::start_with(settings).await;
    let to = json!({ "to_addresses": ["ops@example.com"] });
    let mut integration = server.integration("mails", &["tick", "alert.created"], to);
    integration["retry"] = json!({ "schedule": ["1s", "2s", "5s", "10s", "20s", "30s", "60s"] });
    up.client().apply(json!([integration])).await;
    up
}

/// The copies of each mail, by its id.
fn copies(server: &MailServer) -> BTreeMap<String, Vec<Mail>> {
    let mut copies: BTreeMap<String, Vec<Mail>> = BTreeMap::new();
    for mail in server.mails() {
        copies.entry(mail.id.clone()).or_default().push(mail);
    }
    copies
}

/// Waits until all deliveries have ended, and gives how many have arrived.
async fn delivered(client: &Client) -> u64 {
    let ledger = client.settled(LATER).await;
    ledger["delivered"].as_u64().expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_mails_come_once_each_though_their_server_is_restarted() {
    let mut seed = Seed::of("mail server restarts");
    let mut server = MailServer::start().await;
    let up = start(&server).await;
    let load = Load::start(up.client(), "tick", Some("tick"), 150, MAILS);
    for restart in 1..=3 {
        server.wait_for(restart * MAILS / 5, LATER).await;
        pause(seed.millis(0..300)).await;
        server.stop().await;
        pause(seed.millis(200..1_500)).await;
        server.restart().await;
    }
    assert_eq!(load.finish().await.len(), MAILS);
    assert_eq!(delivered(up.client()).await, MAILS as u64);
    let copies = copies(&server);
    assert_eq!(copies.len(), MAILS, "none is lost");
    let doubled: Vec<_> = copies.iter().filter(|(_, copies)| copies.len() > 1).collect();
    assert!(doubled.is_empty(), "{doubled:#?}");
    copies.values().flatten().for_each(is_sound);
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_a_killed_server_had_taken_comes_again_as_the_same_and_none_is_lost() {
    const KILLS: usize = 2;
    const FEW: usize = 400;
    let mut seed = Seed::of("mail server kills");
    let mut server = MailServer::start().await;
    let up = start(&server).await;
    let client = up.client();

    // It ends right between the two: it has the mail, and has not said so.
    publish(client, "alert.created", "dies", json!({ "title": "dies" })).await;
    server.ended(SOON).await;
    server.restart().await;
    let id = delivery_id(client, "dies", "delivered").await;
    let twice = copies(&server)
        .remove(&format!("<{id}@example.com>"))
        .expect("it is there");
    assert_eq!(twice.len(), 2, "{twice:?}");
    assert_eq!(twice[0].sha256, twice[1].sha256);
    let tried = history(client, &id).await;
    assert!(
        tried.contains("the server may have it, so that it may come twice"),
        "{tried}"
    );

    let load = Load::start(client, "tick", Some("tick"), 150, FEW);
    for kill in 1..=KILLS {
        server.wait_for(kill * FEW / 4, LATER).await;
        pause(seed.millis(0..200)).await;
        server.kill().await;
        pause(seed.millis(0..1_000)).await;
        server.restart().await;
    }
    assert_eq!(load.finish().await.len(), FEW);
    assert_eq!(delivered(client).await, 1 + FEW as u64);
    let copies = copies(&server);
    assert_eq!(copies.len(), 1 + FEW, "none is lost");
    let doubled: Vec<&Vec<Mail>> = copies.values().filter(|copies| copies.len() > 1).collect();
    for copies in &doubled {
        assert!(copies.iter().all(|copy| copy.sha256 == copies[0].sha256), "{copies:#?}");
    }
    // Those that were on the way, and no others.
    let extra: usize = doubled.iter().map(|copies| copies.len() - 1).sum();
    assert!(extra <= 1 + KILLS * CONNECTIONS_MAX, "{extra} came again: {doubled:#?}");
    up.stop().await;
}
