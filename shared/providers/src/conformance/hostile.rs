//! Events as nobody should send them: the same ones in every run.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use signalbox_proto::{
    Accepted, Delivery, Event, Name, RawJson, Severity, Timestamp,
    types::{BUILT_IN, Look, Tone},
};

/// Hostile deliveries for each provider.
pub(crate) const COUNT: usize = 1_000;
/// Longest text that is made, in characters.
const TEXT_CHARS_MAX: usize = 70_000;
/// Characters of all texts that one event holds, and of those that the further events of a digest share: about what an
/// event and a batch may have at most.
const EVENT_CHARS_MAX: usize = 100_000;
/// Levels of the deepest data; an event may have no more.
const DEPTH: usize = 64 - 2;

/// Random numbers that are the same in every run (SplitMix64, Steele et al. 2014).
pub(crate) struct Random {
    state: u64,
    /// How many characters of text may still be made.
    room: usize,
}

impl Random {
    pub(crate) const fn of(seed: u64) -> Self {
        Self {
            state: seed,
            room: EVENT_CHARS_MAX,
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn of_list<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// Pieces that break what is careless: markup, escapes, controls, direction, sequences of code points that are one sign.
const PIECES: &[&str] = &[
    "&",
    "<",
    ">",
    "&amp;",
    "&lt;",
    "&am",
    "<!channel>",
    "<!here|here>",
    "<@U012ABCDEF>",
    "<https://evil.example|click>",
    "@everyone",
    "@channel",
    "`",
    "```",
    "*bold*",
    "_it_",
    "~gone~",
    "**b**",
    "[a](javascript:alert(1))",
    "<script>alert(1)</script>",
    "</pre>",
    "\"",
    "\\",
    "'",
    "{{ 7 * 7 }}",
    "${SECRET}",
    "%0a",
    "\u{0}",
    "\u{7}",
    "\u{1b}[31m",
    "\u{85}",
    "\r\n",
    "\n\n\n",
    "\t",
    "\u{feff}",
    "\u{200b}",
    "\u{202e}gnirts",
    "\u{2066}",
    "\u{fffd}",
    "مرحبا بالعالم",
    "שלום עולם",
    "日本語のテキスト",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "👍🏽",
    "🇩🇪",
    "e\u{301}\u{323}",
    "Z\u{351}\u{36b}\u{343}\u{36a}\u{302}\u{36b}\u{33d}",
    "ﷺ",
    "𝕳𝖊𝖑𝖑𝖔",
    "plain words",
    " ",
    "a",
    "x",
    "https://example.com/a?b=c&d=<e>",
    "key: value",
    "#1",
    "- item",
    "> quote",
    "=SUM(A1)",
];

/// Data fields that formatters know.
const FIELDS: &[&str] = &[
    "title",
    "message",
    "agent_name",
    "severity",
    "success_rate",
    "error",
    "reason",
    "version",
    "affected_agents",
    "spec",
    "branch",
    "pr",
    "repository",
    "reviewers",
    "logs_url",
    "acceptance_criteria",
    "status",
    "latency_ms",
    "dedup_key",
    "agent_id",
    "node_id",
];

fn text(random: &mut Random) -> String {
    let chars = match random.below(20) {
        0 => 0,
        1 => TEXT_CHARS_MAX,
        2 => random.below(TEXT_CHARS_MAX),
        3..=6 => random.below(4_000),
        _ => random.below(200),
    };
    let chars = chars.min(random.room);
    random.room -= chars;
    let single = random.one_in(4).then(|| random.of_list(PIECES));
    let mut text = String::new();
    let mut count = 0;
    while count < chars {
        let piece = single.unwrap_or_else(|| random.of_list(PIECES));
        count += piece.chars().count();
        text.push_str(piece);
    }
    text
}

fn number(random: &mut Random) -> Value {
    random
        .of_list(&[
            "0",
            "-1",
            "0.925",
            "1",
            "1e308",
            "-0.0",
            "9007199254740993",
            "18446744073709551615",
            "123456789012345678901234567890",
            "0.1",
            "99.99",
        ])
        .parse::<serde_json::Number>()
        .map_or(Value::Null, Value::Number)
}

fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => Value::Bool(random.one_in(2)),
        2 => number(random),
        3..=5 => Value::String(text(random)),
        6 => (0..random.below(12)).map(|_| value(random, depth - 1)).collect(),
        _ => (0..random.below(12))
            .map(|index| (key(random, index), value(random, depth - 1)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

fn key(random: &mut Random, index: usize) -> String {
    match random.below(4) {
        0 => random.of_list(FIELDS).to_owned(),
        1 => format!("{}{index}", random.of_list(PIECES)),
        _ => format!("field_{index}"),
    }
}

fn data(random: &mut Random) -> Value {
    match random.below(24) {
        // Deep.
        0 => (0..DEPTH).fold(Value::String(text(random)), |inner, level| {
            if level % 2 == 0 {
                json!([inner])
            } else {
                json!({ "deeper": inner })
            }
        }),
        // Wide.
        1 => (0..1_000)
            .map(|index| (format!("field_{index}"), Value::from(index)))
            .collect::<Map<_, _>>()
            .into(),
        2 => json!({ "acceptance_criteria": (0..2_000).map(|index| format!("criterion {index}")).collect::<Vec<_>>() }),
        // Not an object.
        3 => value(random, 2),
        4 => json!({}),
        5 => Value::Null,
        _ => {
            let mut data = Map::new();
            for field in FIELDS {
                if random.one_in(3) {
                    data.insert((*field).to_owned(), known(random, field));
                }
            }
            for index in 0..random.below(8) {
                data.insert(key(random, index), value(random, 3));
            }
            data.into()
        }
    }
}

/// A known field, often of the type that is expected and sometimes of another.
fn known(random: &mut Random, field: &str) -> Value {
    if random.one_in(5) {
        return value(random, 2);
    }
    match field {
        "success_rate" | "latency_ms" => number(random),
        "spec" => {
            json!({ "id": text(random), "title": text(random), "file": text(random), "status": text(random), "url": url(random) })
        }
        "pr" => json!({ "number": number(random), "url": url(random) }),
        "repository" => json!({ "owner": text(random), "name": text(random) }),
        "reviewers" | "affected_agents" | "acceptance_criteria" => {
            (0..random.below(30)).map(|_| Value::String(text(random))).collect()
        }
        "logs_url" => url(random),
        _ => Value::String(text(random)),
    }
}

fn url(random: &mut Random) -> Value {
    match random.below(6) {
        0 => text(random).into(),
        1 => "javascript:alert(1)".into(),
        2 => format!("https://example.com/{}", "a".repeat(random.below(5_000))).into(),
        3 => "https://example.com/?q=<>|&\"'`".into(),
        4 => "http://user:password@example.com/".into(),
        _ => "https://example.com/runs/42".into(),
    }
}

/// A delivery of one event.
pub(crate) fn delivery(event: Event, seq: u64) -> Delivery {
    let accepted = Accepted {
        event,
        seq,
        at: Timestamp::from_secs(1_767_225_000),
    };
    Delivery::first(
        accepted,
        "0197c0de-0000-7000-8000-000000000001",
        &"webhook".parse().expect("a name"),
        1,
        1,
    )
}

/// An event of this type with this data.
pub(crate) fn event(event_type: &str, data: &Value) -> Event {
    Event {
        id: "evt-1".to_owned(),
        org: "acme".parse::<Name>().expect("a name"),
        event_type: event_type.parse().expect("a type"),
        source: "/acme".to_owned(),
        subject: None,
        time: Some(Timestamp::from_secs(1_767_224_000)),
        agent_id: None,
        execution_id: None,
        severity: signalbox_proto::types::default_severity(event_type),
        severity_named: false,
        data: RawJson::of(data).expect("JSON"),
        datacontenttype: None,
        data_base64: false,
        look: None,
        metadata: BTreeMap::new(),
    }
}

/// The `index`-th hostile delivery: an event, now and then a digest.
pub(crate) fn hostile(index: usize) -> Delivery {
    let mut random = Random::of(index as u64);
    let mut delivery = delivery(hostile_event(&mut random, index), index as u64 + 1);
    if random.one_in(10) {
        delivery.digest = true;
        random.room = EVENT_CHARS_MAX;
        for more in 0..random.below(120) {
            let mut next = delivery.event().clone();
            next.event = hostile_event(&mut random, index * 1_000 + more);
            next.seq += more as u64;
            delivery.events.push(next);
        }
    }
    delivery
}

fn hostile_event(random: &mut Random, index: usize) -> Event {
    let event_type = match random.below(5) {
        0 => "my.own_type-7".to_owned(),
        1 => ["a"; 8].join("."),
        _ => random.of_list(BUILT_IN).name.to_owned(),
    };
    let mut event = event(&event_type, &data(random));
    event.id = format!("evt-{index}");
    event.severity = random.of_list(&Severity::ALL);
    if random.one_in(3) {
        event.subject = Some(text(random).chars().take(200).collect());
        event.agent_id = Some(text(random).chars().take(200).collect());
        event.execution_id = Some(text(random).chars().take(200).collect());
    }
    if random.one_in(8) {
        event.time = None;
    }
    if random.one_in(10) {
        event.look = Some(Look {
            title: Some(text(random).chars().take(100).collect()),
            emoji: Some("🏳️‍🌈".to_owned()),
            tone: Some(random.of_list(&[Tone::Good, Tone::Bad, Tone::Neutral])),
        });
    }
    if random.one_in(5) {
        event.metadata.insert("region".to_owned(), text(random));
    }
    event
}
