//! What the recorder writes: every delivery once, whatever is killed, and what lists and traces show of it.

mod lists;

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use signalbox_store::{
    Config, Store,
    history::{DeliveryFilter, LetterFilter, Recorded, Status},
};

use crate::harness::{Answer, Load, Target, Up, eventually, pause};

const SOON: Duration = Duration::from_secs(20);
/// What a killed worker held comes again after the consumers' ack wait of 20 s.
const AFTER_CRASH: Duration = Duration::from_secs(90);
const PER_SECOND: u64 = 500;
const EVENTS: usize = 3_000;
const KILLS: u32 = 2;
const PATH: &str = "/all";

/// The database of an `up`, beside it.
async fn database(up: &Up) -> Store {
    let config = Config {
        url: up.store_url().into(),
        url_file: String::new(),
        connections_max: 2,
    };
    Store::open(&config, &up.data_dir()).await.expect("the database opens")
}

/// All deliveries, page by page, by the ids of their events.
async fn recorded(store: &Store) -> BTreeMap<String, Vec<Recorded>> {
    let mut by_event: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.deliveries(&DeliveryFilter::default(), after.as_ref(), 200).await;
        let page = page.expect("a page");
        for row in page.items {
            by_event.entry(row.about().event_id.clone()).or_default().push(row);
        }
        after = page.next;
        if after.is_none() {
            return by_event;
        }
    }
}

fn ended(by_event: &BTreeMap<String, Vec<Recorded>>, count: usize) -> Result<(), String> {
    let ended = by_event
        .values()
        .flatten()
        .filter(|row| row.status().is_final())
        .count();
    if ended == count {
        Ok(())
    } else {
        Err(format!("{ended} of {count} have ended"))
    }
}

#[tokio::test]
async fn every_delivery_is_recorded_exactly_once_whatever_is_killed() {
    let mut up = Up::start().await;
    let target = Target::start().await;
    up.client()
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
            "retry": { "schedule": ["1s", "1s", "1s", "1s", "1s"] },
        }]))
        .await;
    let answer = |number: usize| Answer::status(if number.is_multiple_of(10) { 503 } else { 200 });
    target.script(PATH, (0..=EVENTS).map(answer).chain([Answer::status(200)]));
    let load = Load::start(up.client(), "tick", Some("e"), PER_SECOND, EVENTS);
    for _ in 0..KILLS {
        pause(Duration::from_millis(1_500)).await;
        up.kill().await;
        up.restart().await;
    }
    let accepted = load.finish().await;
    target.wait_for_events(PATH, accepted.len(), AFTER_CRASH).await;
    up.client().settled(AFTER_CRASH).await;

    let store = database(&up).await;
    let by_event = eventually(SOON, "all is recorded", async || {
        let by_event = recorded(&store).await;
        ended(&by_event, accepted.len()).map(|()| by_event)
    })
    .await;
    let requests = target.by_event(PATH);
    for id in &accepted.ids {
        let rows = by_event.get(id).map_or(&[][..], Vec::as_slice);
        let [row] = rows else {
            panic!("{id} has {} rows", rows.len())
        };
        assert_eq!((row.status(), row.about().event_count), (Status::Delivered, 1), "{id}");
        // A request whose record a kill has cut off was made again, under the same number.
        assert!(
            (1..=requests[id] as u64).contains(&row.attempts()),
            "{id}: {row:?}, {} requests",
            requests[id]
        );
        let last = row.history().last_sent().expect("it was sent");
        assert_eq!((last.response_code, row.error_message()), (Some(200), None), "{id}");
    }
    let several = by_event.values().flatten().filter(|row| row.attempts() > 1).count();
    assert!(several > 0, "some were tried again");
    assert_eq!(store.gaps(signalbox_proto::Timestamp::MIN).await.expect("gaps"), []);
    store.close().await;
    up.stop().await;
}

#[tokio::test]
async fn what_died_and_what_was_given_up_is_recorded_as_that() {
    let up = Up::start().await;
    let target = Target::start().await;
    target.script(PATH, [Answer::status(422).body("no such field")]);
    up.client()
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["tick"], "config": { "url": target.url(PATH) },
        }]))
        .await;
    let accepted = Load::start(up.client(), "tick", Some("e"), PER_SECOND, 3)
        .finish()
        .await;
    let store = database(&up).await;
    let by_event = eventually(SOON, "all is recorded", async || {
        let by_event = recorded(&store).await;
        ended(&by_event, accepted.len())?;
        // The dead letter and the attempt come by two streams.
        match by_event
            .values()
            .flatten()
            .find(|row| row.history().last_sent().is_none())
        {
            Some(row) => Err(format!("{row:?}")),
            None => Ok(by_event),
        }
    })
    .await;
    for row in by_event.values().flatten() {
        assert_eq!(row.status(), Status::Dead);
        let last = row.history().last_sent().expect("it was sent");
        assert_eq!(
            (last.response_code, last.response_body.as_str()),
            (Some(422), "no such field")
        );
    }
    let letters = eventually(SOON, "the dead letters are recorded", async || {
        let page = store
            .dead_letters(&LetterFilter::default(), None, 10)
            .await
            .expect("a page");
        if page.items.len() == accepted.len() {
            Ok(page.items)
        } else {
            Err(format!("{} letters", page.items.len()))
        }
    })
    .await;
    assert!(
        letters
            .iter()
            .all(|letter| letter.reason == "rejected" && letter.marked.discarded_at.is_none())
    );

    let id = format!("dl_{}", letters[0].seq);
    up.client()
        .act("/v1/dead-letters/discard", json!({ "ids": [id] }))
        .await;
    eventually(SOON, "the discard is recorded", async || {
        let page = store
            .dead_letters(&LetterFilter::default(), None, 10)
            .await
            .expect("a page");
        let given_up = letters[0].delivery.clone().expect("it is of a delivery");
        let row = store
            .delivery(None, &given_up)
            .await
            .expect("a row")
            .expect("it is known");
        match (page.items[0].marked.discarded_at, row.status()) {
            (Some(_), Status::Discarded) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    store.close().await;
    up.stop().await;
}
