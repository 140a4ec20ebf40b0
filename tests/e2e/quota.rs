//! What an org may publish, and what is refused because too much waits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signalbox_proto::{Event, wire};

use crate::harness::{Client, Publish, Target, Up, eventually, process::settings, raw_nats::RawNats};

const SOON: Duration = Duration::from_secs(60);

async fn up_with(more: &[(&str, &str)]) -> Up {
    let mut all = settings();
    all.extend(
        more.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    Up::start_with(all).await
}

/// Publishes over one connection without waiting for answers, so that inputs pile up before ingest.
async fn flood(client: &Client, org: &str, count: usize) {
    let mut raw = RawNats::connect(client.nats_url()).await;
    for number in 0..count {
        let subject = format!("signalbox.in.{org}.tick");
        let headers = format!("ce-id: e{number}\r\n");
        let body = json!({ "n": number }).to_string();
        raw.publish(number, subject.as_bytes(), headers.as_bytes(), body.as_bytes())
            .await;
    }
    let fates = raw.fates(count).await;
    assert_eq!(fates.len(), count);
}

fn list(count: usize, name: &str) -> Vec<u8> {
    let event = |number| json!({ "type": "tick", "id": format!("{name}-{number}") });
    json!((0..count).map(event).collect::<Vec<Value>>())
        .to_string()
        .into_bytes()
}

async fn stored(client: &Client, count: u64) {
    eventually(SOON, "all are stored", async || {
        match client.messages("EVENTS").await? {
            is if is == count => Ok(()),
            other => Err(format!("{other} of {count} events")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_stored_in_the_order_in_which_ingest_has_them() {
    const EVENTS: usize = 3_000;
    let up = Up::start().await;
    let client = up.client();
    flood(client, "acme", EVENTS).await;
    stored(client, EVENTS as u64).await;
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let jetstream = async_nats::jetstream::new(nats);
    let events = jetstream.get_stream("EVENTS").await.expect("EVENTS is there");
    let first = events.cached_info().state.first_sequence;
    for number in 0..EVENTS {
        let message = events
            .get_raw_message(first + number as u64)
            .await
            .expect("it is stored");
        let event: Event = wire::decode(&message.payload).expect("it is an event");
        assert_eq!(event.id, format!("e{number}"), "at place {number}");
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_its_quota_an_org_is_told_over_http_when_to_come_again_and_nothing_of_a_list_is_stored() {
    const QUOTA: usize = 50;
    let up = up_with(&[("SIGNALBOX_INGEST__ORG_PER_SECOND", "50")]).await;
    let client = up.client();
    let began = Instant::now();
    let (mut taken, mut refused) = (0, 0);
    for number in 0..20 {
        let answer = client
            .post_event("?org=acme", &[], list(20, &format!("l{number}")))
            .await;
        if answer.status == 202 {
            taken += 20;
        } else {
            assert_eq!(answer.problem(429), "quota_exceeded");
            assert_eq!(answer.header("retry-after"), "1");
            refused += 1;
        }
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("a short time") + 3;
    assert!(refused > 0 && taken >= 40, "{taken} taken, {refused} lists refused");
    assert!(taken <= QUOTA * seconds, "{taken} taken within {seconds} seconds");
    let other = client.post_event("?org=other", &[], list(QUOTA, "other")).await;
    assert_eq!(other.status, 202, "{}", other.text());
    let long = client.post_event("?org=acme", &[], list(QUOTA + 1, "long")).await;
    assert_eq!(
        (long.problem(429).as_str(), long.header("retry-after")),
        ("quota_exceeded", "")
    );
    stored(client, (taken + QUOTA) as u64).await;
    assert_eq!(client.dead_letters("?org=acme").await, Vec::<Value>::new());
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_counters_a_process_keeps_the_quotas_alone_and_finds_that_out_once_for_all_orgs() {
    const QUOTA: usize = 50;
    const ORGS: usize = 30;
    let up = up_with(&[("SIGNALBOX_INGEST__ORG_PER_SECOND", "50")]).await;
    let client = up.client();
    let nats = async_nats::connect(client.nats_url())
        .await
        .expect("NATS takes a connection");
    let jetstream = async_nats::jetstream::new(nats);
    jetstream.delete_stream("RATE_SECOND").await.expect("it can be deleted");
    let began = Instant::now();
    for org in 0..ORGS {
        let answer = client.post_event(&format!("?org=org-{org}"), &[], list(1, "one")).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    // A counter that does not answer is waited for half a second.
    let took = began.elapsed();
    assert!(took < Duration::from_millis(500) * 10, "{took:?} for {ORGS} orgs");
    let began = Instant::now();
    let (mut taken, mut refused) = (0, 0);
    for number in 0..20 {
        let answer = client
            .post_event("?org=acme", &[], list(20, &format!("l{number}")))
            .await;
        match answer.status {
            202 => taken += 20,
            _ => refused += 1,
        }
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("a short time") + 3;
    assert!(refused > 0, "{taken} taken");
    assert!(taken <= QUOTA * seconds, "{taken} taken within {seconds} seconds");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_its_quota_an_org_finds_its_inputs_over_nats_as_dead_letters_and_can_replay_them() {
    const FLOOD: usize = 400;
    let up = up_with(&[("SIGNALBOX_INGEST__ORG_PER_SECOND", "50")]).await;
    let client = up.client();
    flood(client, "acme", FLOOD).await;
    // Behind all of them.
    client.publish(Publish::to("signalbox.in.other.tick", "{}")).await;
    let dead = eventually(SOON, "each is an event or a dead letter", async || {
        let (events, dead) = (client.messages("EVENTS").await?, client.messages("DEAD").await?);
        if events + dead == FLOOD as u64 + 1 {
            Ok(dead)
        } else {
            Err(format!("{events} events, {dead} dead letters"))
        }
    })
    .await;
    assert!(dead >= FLOOD as u64 / 2, "{dead} of {FLOOD} were refused");
    let letters = client.dead_letters("?org=acme&limit=200").await;
    let letter = letters.first().expect("there are some");
    assert_eq!(
        (&letter["stage"], &letter["reason"]),
        (&json!("ingest"), &json!("rejected")),
        "{letter}"
    );
    assert_eq!(
        letter["message"],
        "org acme published more than its quota of 50 events a second"
    );
    assert_eq!(client.dead_letters("?org=other").await, Vec::<Value>::new());
    // Faster than the quota: what an act sends in again is not refused again.
    let wanted = json!({ "filter": { "reason": "rejected" }, "rate": 500 });
    let act = client.act("/v1/dead-letters/replay?org=acme", wanted).await;
    assert_eq!((&act["done"], &act["failed"]), (&json!(dead), &json!(0)), "{act}");
    stored(client, FLOOD as u64 + 1).await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_too_much_waits_for_an_org_it_publishes_nothing_and_others_do() {
    const MARK: usize = 20;
    let up = up_with(&[
        ("SIGNALBOX_KEEPER__WAITING_ORG_MAX", "20"),
        ("SIGNALBOX_KEEPER__WAITING_INTEGRATION_MAX", "10"),
        ("SIGNALBOX_KEEPER__LOOK_EVERY_S", "1"),
    ])
    .await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([{ "name": "held", "provider": "webhook", "events": [">"], "config": { "url": target.url("/held") } }]))
        .await;
    client.hold("held").await;
    client.post_event("", &[], list(MARK + 5, "first")).await.ok();
    let one = || list(1, "again");
    eventually(SOON, "its publishing is refused", async || {
        let answer = client.post_event("", &[], one()).await;
        if answer.status == 429 {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
    let answer = client.post_event("", &[], one()).await;
    assert_eq!(answer.problem(429), "too_much_waiting");
    assert_ne!(answer.header("retry-after"), "");
    client.post_event("?org=other", &[], one()).await.ok();
    client.publish(Publish::of("tick", &json!({})).id("over-nats")).await;
    let letter = eventually(SOON, "the input is a dead letter", async || {
        client
            .dead_letters("")
            .await
            .first()
            .cloned()
            .ok_or_else(|| "none".to_owned())
    })
    .await;
    assert_eq!(letter["reason"], "rejected", "{letter}");
    let doctor = client.try_doctor().await.expect("the API answers");
    let findings = doctor["findings"].to_string();
    assert!(findings.contains("publishing of org default is refused"), "{findings}");
    assert!(
        findings.contains("deliveries of integration default/held wait"),
        "{findings}"
    );
    client.resume("held").await;
    eventually(SOON, "it may publish again", async || {
        let answer = client.post_event("", &[], list(1, "after")).await;
        if answer.status == 202 {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["missing"], 0, "{ledger}");
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_what_waits_fills_the_storage_nothing_is_accepted_and_nothing_taken_is_lost() {
    const EVENTS: usize = 80;
    const INPUTS: u64 = 10;
    let up = up_with(&[
        ("SIGNALBOX_NATS__STORAGE_BYTES", "104857600"),
        ("SIGNALBOX_KEEPER__STORAGE_HIGH_PERCENT", "10"),
        // So many inputs may have been asked for before.
        ("SIGNALBOX_INGEST__IN_FLIGHT_MAX", "4"),
        ("SIGNALBOX_KEEPER__LOOK_EVERY_S", "1"),
    ])
    .await;
    let target = Target::start().await;
    let client = up.client();
    client
        .apply(json!([{ "name": "held", "provider": "webhook", "events": [">"], "config": { "url": target.url("/held") } }]))
        .await;
    client.hold("held").await;
    let mut taken = 0;
    let is_full = async || {
        let answer = client.post_event("", &[], list(1, "probe")).await;
        (answer.status == 503).then_some(answer)
    };
    while taken < EVENTS && is_full().await.is_none() {
        // PARKED is compressed: random text is not.
        let mut random = vec![0_u8; 120_000];
        getrandom::fill(&mut random).expect("the system has random bytes");
        let text: String = random.iter().map(|byte| format!("{byte:x}")).collect();
        client
            .publish(Publish::of("tick", &json!({ "text": text })).id(&format!("e-{taken}")))
            .await;
        taken += 1;
    }
    let answer = eventually(SOON, "publishing is refused", async || {
        is_full().await.ok_or_else(String::new)
    })
    .await;
    assert_eq!(answer.problem(503), "storage_full");
    assert_ne!(answer.header("retry-after"), "");
    let before = client.messages("EVENTS").await.expect("it can be asked");
    for number in 0..INPUTS {
        client
            .publish(Publish::of("tick", &json!({})).id(&format!("waits-{number}")))
            .await;
    }
    let doctor = client.try_doctor().await.expect("the API answers");
    assert!(
        doctor["findings"].to_string().contains("all publishing is refused"),
        "{doctor}"
    );
    let waiting = client.messages("INGEST").await.expect("it can be asked");
    assert!(waiting >= INPUTS - 4, "{waiting} inputs wait");
    assert!(client.messages("EVENTS").await.expect("it can be asked") <= before + 4);
    client.resume("held").await;
    eventually(SOON, "the inputs go on", async || {
        match client.messages("INGEST").await? {
            0 => Ok(()),
            other => Err(format!("{other} wait")),
        }
    })
    .await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"].as_u64(), Some(before + INPUTS), "{ledger}");
    assert_eq!(client.dead_letters("").await, Vec::<Value>::new());
    up.stop().await;
}
