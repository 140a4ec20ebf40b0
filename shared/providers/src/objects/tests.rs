//! The transport against a store that checks what it is sent: the two providers of stores are what it is tried with.

use std::{collections::BTreeMap, time::Duration};

use object_store::{ObjectStoreExt as _, aws::AmazonS3Builder};
use serde_json::{Value, json};
use signalbox_proto::{Delivery, Outcome, Timestamp, outcome::OutcomeKind};

use super::{
    double::{Act, Double, SECRET, unpacked},
    *,
};
use crate::{About, AnyTarget, Egress, Step, conformance::hostile, find};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const SOON: Duration = Duration::from_secs(10);

fn client(allow: &[&str]) -> crate::Client {
    let egress: Egress = serde_json::from_value(json!({ "allow": allow })).expect("egress rules");
    crate::Client::new(egress).expect("a client")
}

fn about() -> About {
    About {
        integration: "0197".to_owned(),
        name: "archive".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: SOON,
    }
}

/// A target of either provider, at a double.
fn target(provider: &str, double: &Double, more: Value) -> Box<dyn AnyTarget> {
    let mut config = json!({ "bucket": "acme-events", "endpoint": double.url() });
    let credentials = match provider {
        "gcs" => json!({ "service_account": include_str!("../gcs/account.json") }),
        _ => json!({ "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": SECRET }),
    };
    let members = config.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    let entry = find(provider).expect("built in");
    entry.open(config, credentials, about()).expect("a target")
}

/// What an attempt comes to.
async fn attempt(client: &crate::Client, target: &dyn AnyTarget, delivery: &Delivery) -> Outcome {
    let mut so_far = Vec::new();
    loop {
        match target.next(delivery, &so_far, NOW) {
            Step::Done(outcome) => return outcome,
            Step::Send(request) => match client.send(request, SOON).await {
                Ok(exchange) => so_far.push(exchange),
                Err(unanswered) => return unanswered.outcome,
            },
        }
    }
}

async fn look(client: &crate::Client, target: &dyn AnyTarget) -> Outcome {
    let probe = target.probe(NOW).expect("there is a probe");
    match client.send(probe, SOON).await {
        Ok(exchange) => target.classify(&exchange.response, NOW),
        Err(unanswered) => unanswered.outcome,
    }
}

fn one(seq: u64) -> Delivery {
    let mut event = hostile::event("alert.created", &json!({ "title": "Disk full", "seq": seq }));
    event.id = format!("evt-{seq}");
    hostile::delivery(event, seq)
}

#[tokio::test]
async fn what_is_signed_is_what_is_sent() {
    let double = Double::start().await;
    let client = client(&["127.0.0.0/8"]);
    for (provider, more) in [
        ("s3", json!({})),
        (
            "s3",
            json!({ "compression": "gzip", "key_template": "dt={yyyy}-{mm}-{dd}/a.b_c/{delivery}" }),
        ),
        (
            "s3",
            json!({ "compression": "zstd", "kms_key_id": "alias/events", "storage_class": "STANDARD_IA" }),
        ),
        ("gcs", json!({})),
        (
            "gcs",
            json!({ "compression": "gzip", "storage_class": "NEARLINE", "prefix": "signalbox/x" }),
        ),
    ] {
        let target = target(provider, &double, more.clone());
        let delivery = one(double.seen().len() as u64);
        assert_eq!(
            attempt(&client, &*target, &delivery).await,
            Outcome::Delivered,
            "{provider} {more}"
        );
        let Step::Send(crate::Request::Object(request)) = target.next(&delivery, &[], NOW) else {
            panic!("no request to a store")
        };
        let seen = double.seen().pop().expect("a request");
        // The path that a provider shows is the one that is called.
        assert_eq!(percent(&seen.path), percent(request.url().path()));
        assert_eq!(
            seen.headers["content-type"],
            as_http(&request).headers["content-type"].to_str().expect("ASCII")
        );
        assert_eq!(seen.body, as_http(&request).body);
        assert_eq!(unpacked(&percent(&seen.path), &seen.body), request.lines());
        assert_eq!(seen.headers["user-agent"], crate::http::USER_AGENT);
        assert!(!seen.headers.contains_key("content-encoding"));
        let class = more.get("storage_class").and_then(Value::as_str);
        let name = if provider == "gcs" {
            "x-goog-storage-class"
        } else {
            "x-amz-storage-class"
        };
        assert_eq!(seen.headers.get(name).map(String::as_str), class);
        let kms = seen.headers.get("x-amz-server-side-encryption-aws-kms-key-id");
        assert_eq!(kms.map(String::as_str), more.get("kms_key_id").and_then(Value::as_str));
    }
}

fn percent(path: &str) -> String {
    percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .expect("UTF-8")
        .into_owned()
}

#[tokio::test]
async fn a_repeat_is_delivered_and_stores_nothing_twice() {
    for provider in ["s3", "gcs"] {
        let double = Double::start().await;
        let client = client(&["127.0.0.0/8"]);
        let target = target(provider, &double, json!({}));
        double.next([Act::StoreAndHangUp]);
        let lost = attempt(&client, &*target, &one(1)).await;
        assert_eq!(lost.kind(), OutcomeKind::Retry, "{lost:?}");
        assert_eq!(double.objects().len(), 1);
        let mut again = one(1);
        again.attempt = 1;
        again.since = Timestamp::from_secs(1_800_000_000);
        assert_eq!(attempt(&client, &*target, &again).await, Outcome::Delivered);
        assert_eq!(double.objects().len(), 1);
        assert_eq!(double.seen().len(), 2, "each attempt is one request");
    }
}

#[tokio::test]
async fn a_store_that_knows_no_condition_gets_none_and_the_same_object_again() {
    let double = Double::start().await;
    let client = client(&["127.0.0.0/8"]);
    let target = target("s3", &double, json!({ "overwrite": true, "compression": "gzip" }));
    for _ in 0..2 {
        assert_eq!(attempt(&client, &*target, &one(1)).await, Outcome::Delivered);
    }
    let seen = double.seen();
    assert!(!seen[0].headers.contains_key("if-none-match"));
    assert_eq!(seen[0].body, seen[1].body, "the same bytes each time");
    assert_eq!(double.objects().len(), 1);
}

#[tokio::test]
async fn nothing_is_tried_again_but_by_the_schedule_of_deliveries() {
    let double = Double::start().await;
    let client = client(&["127.0.0.0/8"]);
    for provider in ["s3", "gcs"] {
        let target = target(provider, &double, json!({}));
        for status in [500, 503, 429, 409, 408] {
            let before = double.seen().len();
            double.next([Act::Answer(
                status,
                "retry-after: 3\r\n".to_owned(),
                double::xml("SlowDown"),
            )]);
            let outcome = attempt(&client, &*target, &one(status.into())).await;
            let Outcome::Retry { after, .. } = outcome else {
                panic!("{status}: {outcome:?}")
            };
            assert_eq!(after, Some(Duration::from_secs(3)), "{status}");
            assert_eq!(double.seen().len(), before + 1, "{status}: one request");
        }
    }
}

#[tokio::test]
async fn a_look_passes_where_the_store_knows_us_and_leaves_nothing() {
    let double = Double::start().await;
    let client = client(&["127.0.0.0/8"]);
    for provider in ["s3", "gcs"] {
        let target = target(provider, &double, json!({ "prefix": "signalbox" }));
        assert_eq!(look(&client, &*target).await, Outcome::Delivered);
        let seen = double.seen().pop().expect("a request");
        assert_eq!(seen.method, "GET");
        assert!(percent(&seen.path).ends_with("/acme-events/signalbox/signalbox-connection-test"));
        double.next([Act::Answer(403, String::new(), double::xml("AccessDenied"))]);
        assert_eq!(look(&client, &*target).await, Outcome::Delivered, "who may only write");
        double.next([Act::Answer(404, String::new(), double::xml("NoSuchBucket"))]);
        assert_eq!(look(&client, &*target).await.kind(), OutcomeKind::Suspend);
    }
    assert!(double.objects().is_empty());
    let credentials = json!({ "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "another-secret" });
    let config = json!({ "bucket": "acme-events", "endpoint": double.url() });
    let stranger = find("s3")
        .expect("built in")
        .open(config, credentials, about())
        .expect("a target");
    let refused = look(&client, &*stranger).await;
    assert_eq!(refused.kind(), OutcomeKind::Suspend);
    assert!(format!("{refused:?}").contains("SignatureDoesNotMatch"), "{refused:?}");
}

/// A store that says so by itself makes no probe of a write.
#[tokio::test]
async fn a_store_cannot_say_that_it_was_looked_at() {
    let double = Double::start().await;
    let client = client(&["127.0.0.0/8"]);
    let target = target("s3", &double, json!({}));
    let header = format!("{LOOKED}: 1\r\n");
    double.next([Act::Answer(404, header, double::xml("NoSuchKey"))]);
    let outcome = attempt(&client, &*target, &one(1)).await;
    assert_eq!(outcome.kind(), OutcomeKind::Suspend, "{outcome:?}");
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_called() {
    let double = Double::start().await;
    let client = client(&[]);
    for provider in ["s3", "gcs"] {
        let target = target(provider, &double, json!({}));
        for outcome in [attempt(&client, &*target, &one(1)).await, look(&client, &*target).await] {
            assert_eq!(outcome.kind(), OutcomeKind::Suspend, "{outcome:?}");
        }
    }
    assert!(double.seen().is_empty());
}

#[tokio::test]
async fn an_answer_is_without_the_token_that_it_repeats() {
    let double = Double::start().await;
    let client = client(&["127.0.0.0/8"]);
    for provider in ["s3", "gcs"] {
        let target = target(provider, &double, json!({}));
        double.next([Act::Repeat]);
        let Step::Send(request) = target.next(&one(1), &[], NOW) else {
            panic!("nothing is sent")
        };
        let answer = client.send(request, SOON).await.expect("an answer").response;
        let sent = double.seen().pop().expect("a request").headers["authorization"].clone();
        let proof = sent.rsplit([' ', '=']).next().expect("a proof");
        assert!(proof.len() >= 64, "{proof}");
        let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        assert!(
            text.contains(crate::MASK) && !text.contains(proof),
            "{provider}: {text}"
        );
    }
}

#[tokio::test]
async fn a_signer_sends_nothing_by_itself() {
    let double = Double::start().await;
    let signer = AmazonS3Builder::new()
        .with_bucket_name("acme-events")
        .with_endpoint(double.url())
        .with_access_key_id("AKIAIOSFODNN7EXAMPLE")
        .with_secret_access_key(SECRET)
        .with_retry(no_retries())
        .with_http_connector(Checked)
        .build()
        .expect("a signer");
    let path = Path::from("a");
    assert!(signer.put(&path, "text".into()).await.is_err());
    assert!(
        signer
            .get_opts(&path, object_store::GetOptions::default())
            .await
            .is_err()
    );
    assert!(double.seen().is_empty());
}

#[tokio::test]
async fn of_ten_thousand_events_in_batches_each_is_in_exactly_one_object() {
    const EVENTS: u64 = 10_000;
    const BATCH: usize = 100;
    let double = Double::start().await;
    let client = client(&["127.0.0.0/8"]);
    let target = target("s3", &double, json!({ "compression": "zstd" }));
    let all: Vec<Delivery> = (1..=EVENTS).map(one).collect();
    for (index, members) in all.chunks(BATCH).enumerate() {
        let mut digest = members[0].clone();
        digest.digest = true;
        digest.events = members.iter().map(|delivery| delivery.event().clone()).collect();
        let between = (members[0].event().seq, members[BATCH - 1].event().seq);
        digest.id = signalbox_proto::delivery::digest_id(&members[0].id, between);
        // Now and then an answer is lost, or the store is busy.
        match index % 5 {
            1 => double.next([Act::StoreAndHangUp]),
            2 => double.next([Act::Answer(503, String::new(), double::xml("SlowDown"))]),
            _ => {}
        }
        let mut outcome = attempt(&client, &*target, &digest).await;
        assert_eq!(
            outcome == Outcome::Delivered,
            !matches!(index % 5, 1 | 2),
            "{outcome:?}"
        );
        while outcome != Outcome::Delivered {
            outcome = attempt(&client, &*target, &digest).await;
        }
    }
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for (path, stored) in double.objects() {
        assert!(
            path.starts_with("/acme-events/acme/alert.created/2025/12/31/23/"),
            "{path}"
        );
        for line in unpacked(&path, &stored)
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line: Value = serde_json::from_slice(line).expect("a line of JSON");
            *found.entry(line["id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
    }
    assert_eq!(double.objects().len(), all.len() / BATCH);
    assert_eq!(found.len() as u64, EVENTS);
    assert!(found.values().all(|count| *count == 1));
}

#[test]
fn data_on_many_lines_becomes_one_line_and_stays_the_same_data() {
    let mut delivery = one(1);
    let data = "{\r\n  \"text\": \"a\\nb\",\n\t\"list\": [1,\n2]\n}";
    delivery.events[0].event.data = signalbox_proto::RawJson::from_checked(data.into());
    for format in [Format::Cloudevents, Format::Standard] {
        let lines = format.lines(&delivery);
        let text = std::str::from_utf8(&lines).expect("UTF-8");
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\r'));
        let line: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(line["data"], json!({ "text": "a\nb", "list": [1, 2] }));
    }
}
