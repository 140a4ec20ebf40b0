//! Bad input is data: an event, a dead letter with a reason, or a publish that JetStream refused. Nothing else.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::harness::{
    Client, Publish, Seed, Target, Up, eventually,
    raw_nats::{Fate, RawNats},
};

const SOON: Duration = Duration::from_secs(120);
/// How long it may take to find out which inputs cannot be read: each may cost a consumer's ack wait.
const MENDED: Duration = Duration::from_secs(60);
/// Publishes before their answers are read.
const BURST: usize = 200;

/// One input, with the name of its kind for the report.
struct Input {
    kind: &'static str,
    subject: Vec<u8>,
    /// Whole lines; the version line and the empty line come around them.
    headers: Vec<u8>,
    /// Instead of version line, headers and empty line.
    block: Option<Vec<u8>>,
    body: Vec<u8>,
}

const SUBJECT: &str = "signalbox.in.default.bad.input";

impl Input {
    fn of(kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            subject: SUBJECT.into(),
            headers: Vec::new(),
            block: None,
            body: body.into(),
        }
    }

    fn subject(kind: &'static str, subject: impl Into<Vec<u8>>) -> Self {
        Self {
            subject: subject.into(),
            ..Self::of(kind, "{}")
        }
    }

    fn headers(kind: &'static str, headers: impl Into<Vec<u8>>) -> Self {
        Self {
            headers: headers.into(),
            ..Self::of(kind, "{}")
        }
    }

    fn block(kind: &'static str, block: &[u8]) -> Self {
        Self {
            block: Some(block.to_vec()),
            ..Self::of(kind, "{}")
        }
    }
}

/// Headers that the server stores, but at which the client library drops its connection.
const UNREADABLE_BLOCKS: [&[u8]; 12] = [
    b"NATS/1.0\r\nce-subject: \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\nce-x: \xc3\x28\r\n\r\n",
    b"NATS/1.0\r\n\xff: x\r\n\r\n",
    b"NATS/1.0\r\nno colon at all\r\n\r\n",
    b"NATS/1.0\r\na b: c\r\n\r\n",
    b"NATS/1.0\r\na\tb: c\r\n\r\n",
    b"NATS/1.0\r\n\t: x\r\n\r\n",
    b"NATS/1.0\r\nname\xc3\xa9: v\r\n\r\n",
    b"NATS/2.0\r\n\r\n",
    b"HTTP/1.1\r\nce-id: x\r\n\r\n",
    b"\r\n\r\n",
    b"x",
];

/// Subjects of the same sort; to the library a no-break space ends a word.
const UNREADABLE_SUBJECTS: [&[u8]; 4] = [
    b"signalbox.in.default.\xff\xfe",
    b"signalbox.in.\xc3\x28.a",
    b"signalbox.in.default.a.\xed\xa0\x80",
    b"signalbox.in.default.a\xc2\xa0b",
];

/// Makes the input of a number. What may become an event gets its own id, so that no two are one.
fn input(seed: &mut Seed, number: usize, unreadable: bool) -> Input {
    match seed.number(0..30) {
        0 => Input::of(
            "broken JSON",
            seed.one_of(&[
                "{",
                "}",
                "{\"a\":",
                "{\"a\":1,}",
                "[1,2",
                "nul",
                "{'a':1}",
                "{\"a\":01}",
                "{\"a\":1}{\"b\":2}",
                "\"",
                "\u{feff}{}",
                "{\"a\":\"\u{1}\"}",
                "{\"a\":\"\\ud800\"}",
                "{\"a\":\"\\x\"}",
                "{\"a\":1e999}",
                "{\"a\":-}",
                "",
                " ",
                "\0",
                "NaN",
            ]),
        ),
        1 => Input::of(
            "no object",
            seed.one_of(&["[]", "1", "\"text\"", "null", "true", "[[[]]]", "-0.0", "1e5"]),
        ),
        2 => {
            let length = seed.number(1..2_000) as usize;
            Input::of("random bytes", seed.bytes(length))
        }
        3 => {
            let mut body = br#"{"text":""#.to_vec();
            body.extend(seed.one_of(&[
                &b"\xff\xfe"[..],
                b"\xc3\x28",
                b"\xed\xa0\x80",
                b"\xf8\x88\x80\x80\x80",
                b"\xc0\xaf",
            ]));
            body.extend(b"\"}");
            Input::of("invalid UTF-8", body)
        }
        4 => {
            let depth = seed.one_of(&[100_usize, 126, 127, 128, 129, 1_000, 20_000, 100_000]);
            let (open, close) = seed.one_of(&[("[", "]"), ("{\"a\":", "}")]);
            Input::of(
                "deep nesting",
                format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth)),
            )
        }
        5 => {
            let length = seed.one_of(&[255_usize, 256, 257, 300, 511, 512, 513, 600]) * 1_024;
            Input::of("large", format!("{{\"text\":\"{}\"}}", "x".repeat(length)))
        }
        6 => Input::of(
            "wrong types",
            seed.one_of(&[
                r#"{"agent_id":7}"#,
                r#"{"severity":{}}"#,
                r#"{"execution_id":[]}"#,
                r#"{"severity":"apocalyptic"}"#,
                r#"{"spec":7}"#,
                r#"{"spec":{"severity":[]}}"#,
                r#"{"priority":null}"#,
                r#"{"agent_id":"\u0000"}"#,
                r#"{"agent_id":""}"#,
                r#"{"a":1,"a":2}"#,
                r#"{"":{"":""}}"#,
                r#"{"__proto__":{"x":1}}"#,
            ]),
        ),
        7 => Input::of(
            "numbers",
            seed.one_of(&[
                "{\"n\":1e308}",
                "{\"n\":1e309}",
                "{\"n\":123456789012345678901234567890}",
                "{\"n\":-1e-400}",
                "{\"n\":0.1e}",
                "{\"n\":1.}",
                "{\"n\":+1}",
            ]),
        ),
        8 => {
            let length = seed.number(130..3_000) as usize;
            Input::subject("long type", format!("signalbox.in.default.{}", "t".repeat(length)))
        }
        9 => Input::subject(
            "many tokens",
            format!("signalbox.in.default{}", ".t".repeat(seed.number(9..200) as usize)),
        ),
        10 => Input::subject(
            "no type",
            seed.one_of(&["signalbox.in.default", "signalbox.in.UPPER", "signalbox.in.-"]),
        ),
        11 => Input::subject(
            "bad org",
            seed.one_of(&[
                "signalbox.in.UPPER.a",
                "signalbox.in._x.a",
                "signalbox.in.a+b.c",
                "signalbox.in.$SYS.a",
                "signalbox.in.\u{fc}ber.a",
                "signalbox.in.%2e.a",
                "signalbox.in.{}.a",
            ]),
        ),
        12 => Input::subject(
            "bad type",
            seed.one_of(&[
                "signalbox.in.default.\u{1f6a8}",
                "signalbox.in.default.a\"b",
                "signalbox.in.default.a/b",
                "signalbox.in.default.a\\b",
                "signalbox.in.default.$a",
            ]),
        ),
        13 => Input::subject(
            "odd subject",
            seed.one_of(&[
                &b"signalbox.in.default.*"[..],
                b"signalbox.in.default.>",
                b"signalbox.in.*.a",
                b"signalbox.in..a",
                b"signalbox.in.default.",
                b"signalbox.in.",
                b"signalbox.in.default..a",
            ]),
        ),
        14 if unreadable => Input::subject("unreadable subject", seed.one_of(&UNREADABLE_SUBJECTS)),
        15 => Input::headers(
            "bad id",
            seed.one_of(&[
                "ce-id: \r\n",
                "ce-id: a b\r\n",
                "ce-id: %00\r\n",
                "ce-id: %ff\r\n",
                "ce-id: %C3%BC\r\n",
                "ce-id: \u{fc}\r\n",
            ]),
        ),
        16 => {
            let length = seed.number(129..4_000) as usize;
            let name = seed.one_of(&["ce-id", "Nats-Msg-Id"]);
            Input::headers("long id", format!("{name}: {}\r\n", "i".repeat(length)))
        }
        17 => Input::headers(
            "bad time",
            format!(
                "ce-time: {}\r\n",
                seed.one_of(&[
                    "yesterday",
                    "0",
                    "2026-13-01T00:00:00Z",
                    "2026-02-30T00:00:00Z",
                    "9999999-01-01T00:00:00Z",
                    "2026-01-01",
                    "2026-01-01T00:00:00",
                    "-0001-01-01T00:00:00Z",
                    "2026-01-01T24:00:01Z",
                ])
            ),
        ),
        18 => Input::headers(
            "other org or type",
            seed.one_of(&[
                "ce-org: other\r\n",
                "ce-type: other.type\r\n",
                "ce-org: \r\n",
                "ce-org: DEFAULT\r\n",
            ]),
        ),
        19 => Input::headers(
            "version",
            format!(
                "ce-specversion: {}\r\n",
                seed.one_of(&["0.3", "2.0", "", "one", "1.0.2"])
            ),
        ),
        20 => Input::headers(
            "content type",
            format!(
                "content-type: {}\r\n",
                seed.one_of(&[
                    "text/plain",
                    "application/msgpack",
                    "application/cloudevents-batch+json",
                    "application/cloudevents+json",
                    "",
                    ";;;",
                    "application/json; charset=utf-7",
                    "multipart/form-data",
                    "\u{1f6a8}",
                    "application/xml",
                ])
            ),
        ),
        21 => {
            let count = seed.number(60..200) as usize;
            let lines: String = (0..count).map(|index| format!("ce-x{index}: v\r\n")).collect();
            Input::headers("many attributes", lines)
        }
        22 => {
            let name = seed.one_of(&[
                "ce-source",
                "ce-subject",
                "ce-agentid",
                "ce-x",
                "traceparent",
                "tracestate",
                "ce-severity",
            ]);
            let length = seed.number(1_000..8_000) as usize;
            Input::headers(
                "long attribute",
                format!("ce-id: long-{number}\r\n{name}: {}\r\n", "v".repeat(length)),
            )
        }
        23 => Input::headers(
            "control characters",
            [
                &b"ce-subject: "[..],
                seed.one_of(&[
                    &b"\x01"[..],
                    b"a\x00b",
                    b"%00",
                    b"%0d%0aX-Injected: 1",
                    b"\x7f",
                    b"%1b[31m",
                    b"\xe2\x80\xae",
                ]),
                b"\r\n",
            ]
            .concat(),
        ),
        24 => Input::headers(
            "headers for the server",
            seed.one_of(&[
                "Nats-Expected-Stream: OTHER\r\n",
                "Nats-Expected-Last-Sequence: 999999999\r\n",
                "Nats-Rollup: all\r\n",
                "Nats-TTL: never\r\n",
                "Nats-Schedule: @at 2030-01-01T00:00:00Z\r\n",
                "Nats-Incr: +1\r\n",
                "Nats-Rollup: x\r\n",
                "Nats-Expected-Last-Msg-Id: no\r\n",
                "Nats-Batch-Id: b\r\nNats-Batch-Sequence: 7\r\n",
            ]),
        ),
        25 | 26 if unreadable => Input::block("unreadable headers", seed.one_of(&UNREADABLE_BLOCKS)),
        25 | 26 => Input::headers(
            "odd header lines",
            seed.one_of(&[
                "traceparent: \u{fc}\u{1f6a8}\r\n",
                "tracestate: \u{fc}=\u{1f6a8}\r\n",
                "traceparent: 00-x-y-zz\r\ntracestate: ,,=,\r\n",
                "ce-subject: %C3%BC\u{fc}\r\nce-agentid: \u{1f6a8}\r\nce-x: \u{fc}\r\n",
                "ce-: v\r\nce-A_B: v\r\nce-data: v\r\nce-datacontenttype: x/y\r\n",
                ": no name\r\n",
                "x:\r\n",
                ":\r\n",
                "a: b\n",
                "a: b\r\n folded: c\r\n",
            ]),
        ),
        27 => Input::block(
            "status of the server",
            seed.one_of(&[
                &b"NATS/1.0 404 No Messages\r\n\r\n"[..],
                b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
                b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
                b"NATS/1.0 408 Request Timeout\r\n\r\n",
                b"NATS/1.0 503\r\n\r\n",
                b"NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 9\r\n\r\n",
                b"NATS/1.0 x\r\n\r\n",
                b"NATS/1.0 99999\r\n\r\n",
                b"NATS/1.0\r\n",
            ]),
        ),
        28 => {
            let event = match seed.number(0..6) {
                0 => json!({}),
                1 => json!({ "specversion": "1.0", "id": [7], "source": "/x", "type": "bad.input" }),
                2 => json!({ "specversion": "1.0", "id": format!("s-{number}"), "source": "/x", "type": "other.type" }),
                3 => {
                    json!({ "specversion": "1.0", "id": format!("s-{number}"), "source": "/x", "type": "bad.input", "data_base64": "%%" })
                }
                4 => {
                    json!({ "specversion": "1.0", "id": format!("s-{number}"), "source": "/x", "type": "bad.input", "data": 1, "data_base64": "MQ==" })
                }
                _ => {
                    json!({ "specversion": "1.0", "id": format!("s-{number}"), "source": "/x", "type": "bad.input", "org": "other" })
                }
            };
            Input {
                headers: b"content-type: application/cloudevents+json\r\n".to_vec(),
                ..Input::of("structured", event.to_string())
            }
        }
        _ => {
            // A good one in between, mutilated in one byte.
            let mut body = json!({ "n": number, "agent_id": "agent-7", "list": [1, 2, { "a": null }] })
                .to_string()
                .into_bytes();
            let place = seed.number(0..body.len() as u64) as usize;
            body[place] = seed.next().to_be_bytes()[0];
            Input::of("one byte changed", body)
        }
    }
}

async fn feed(count: usize, unreadable: bool) {
    let mut seed = Seed::of("bad input");
    let mut up = Up::start().await;
    let target = Target::start().await;
    let client = up.client().clone();
    // Whatever becomes an event must also be sendable, in the body and in headers.
    let integration = |name: &str, payload: &str| {
        json!({
            "name": name, "provider": "webhook", "events": [">"],
            "config": { "url": target.url(&format!("/{name}")), "payload": payload },
        })
    };
    client
        .apply(json!([
            integration("body", "standard"),
            integration("headers", "cloudevents_binary")
        ]))
        .await;
    let (pid, servers) = (up.pid(), up.servers());
    let before = (messages(&client, "EVENTS").await, messages(&client, "DEAD").await);

    let mut raw = RawNats::connect(client.nats_url()).await;
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut stored, mut repeated, mut refused, mut sent) = (0, 0, 0, 0);
    while sent < count {
        let burst: Vec<Input> = (sent..count.min(sent + BURST))
            .map(|number| input(&mut seed, number, unreadable))
            .collect();
        for (index, input) in burst.iter().enumerate() {
            match &input.block {
                None => {
                    raw.publish(sent + index, &input.subject, &input.headers, &input.body)
                        .await
                }
                Some(block) => {
                    raw.publish_block(sent + index, &input.subject, block, &input.body)
                        .await
                }
            }
        }
        let fates = raw.fates(burst.len()).await;
        for (index, input) in burst.iter().enumerate() {
            let entry = kinds.entry(input.kind).or_default();
            match fates.get(&(sent + index)) {
                Some(Fate::Stored) => {
                    stored += 1;
                    entry.0 += 1;
                }
                Some(Fate::Repeated) => repeated += 1,
                Some(Fate::Refused(_)) => {
                    refused += 1;
                    entry.1 += 1;
                }
                None => panic!(
                    "no answer to {}: {:?}",
                    input.kind,
                    String::from_utf8_lossy(&input.subject)
                ),
            }
        }
        sent += burst.len();
    }
    eprintln!(
        "{sent} sent: {stored} stored, {repeated} repeated, {refused} refused; by kind (stored, refused): {kinds:?}"
    );

    // Notices of its own would be counted too; none of these inputs can make one.
    let (events, dead) = eventually(SOON, "each input is an event or a dead letter", async || {
        let waiting = client.messages("INGEST").await?;
        let events = client.messages("EVENTS").await? - before.0;
        let dead = client.messages("DEAD").await? - before.1;
        if waiting == 0 && events + dead >= stored {
            Ok((events, dead))
        } else {
            Err(format!("{waiting} wait, {events} events, {dead} dead"))
        }
    })
    .await;
    eprintln!("{events} events, {dead} dead letters");
    assert_eq!(
        events + dead,
        stored,
        "events and dead letters are what JetStream stored"
    );
    assert_eq!(stored + repeated + refused, sent as u64);

    let letters = client.dead_letters("?stage=ingest&limit=200").await;
    assert!(!letters.is_empty());
    for letter in &letters {
        assert!(
            letter["message"].as_str().is_some_and(|message| !message.is_empty()),
            "{letter}"
        );
        assert_eq!(letter["reason"], "invalid", "no input stops a worker: {letter}");
    }
    // What is good still gets through, and no process has died.
    client.publish(Publish::of("good", &json!({})).id("good")).await;
    target.wait_for_events("/body", events as usize + 1, SOON).await;
    target.wait_for_events("/headers", events as usize + 1, SOON).await;
    let ledger = client.settled(SOON).await;
    assert_eq!(ledger["delivered"], 2 * (events + 1), "{ledger}");
    up.assert_alive();
    assert_eq!((up.pid(), up.servers()), (pid, servers), "the same processes as before");
    assert!(!up.log().contains("panicked"), "nothing panics");
    up.stop().await;
}

async fn messages(client: &Client, stream: &str) -> u64 {
    client.messages(stream).await.expect("the stream is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_bad_inputs_stop_nothing_and_are_all_accounted_for() {
    feed(2_000, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: ten thousand inputs"]
async fn soak_ten_thousand_bad_inputs_stop_nothing_and_are_all_accounted_for() {
    feed(10_000, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_at_which_the_client_library_drops_its_connection_is_a_dead_letter_and_the_next_ones_pass() {
    let mut up = Up::start().await;
    let target = Target::start().await;
    let client = up.client().clone();
    client
        .apply(json!([{
            "name": "all", "provider": "webhook", "events": ["good"], "config": { "url": target.url("/all") },
        }]))
        .await;
    let mut raw = RawNats::connect(client.nats_url()).await;
    let count = UNREADABLE_BLOCKS.len() + UNREADABLE_SUBJECTS.len();
    for (number, block) in UNREADABLE_BLOCKS.iter().enumerate() {
        raw.publish_block(number, SUBJECT.as_bytes(), block, b"{}").await;
    }
    for (number, subject) in UNREADABLE_SUBJECTS.iter().enumerate() {
        raw.publish(UNREADABLE_BLOCKS.len() + number, subject, b"", b"{}").await;
    }
    let fates = raw.fates(count).await;
    let stored = fates.values().filter(|fate| **fate == Fate::Stored).count();
    assert_eq!(fates.len(), count);
    client.publish(Publish::of("good", &json!({})).id("good")).await;
    client.delivery("good", "delivered", MENDED).await;
    eventually(MENDED, "each is a dead letter", async || {
        match client.dead_letters("?stage=ingest&limit=200").await.len() {
            letters if letters == stored => Ok(()),
            letters => Err(format!("{letters} of {stored}")),
        }
    })
    .await;
    client.settled(MENDED).await;
    up.assert_alive();
    up.stop().await;
}
