//! Every limit of Block Kit, whatever an event or a template brings.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{body_of, delivery, event, target};
use crate::{
    Text,
    slack::{
        blocks::{
            ACTIONS_MAX, BLOCKS_MAX, BUTTON_URL_UNITS_MAX, FIELD_UNITS_MAX, FIELDS_MAX, HEADER_UNITS_MAX,
            MESSAGE_UNITS_MAX, SECTION_UNITS_MAX,
        },
        text::units,
    },
};

/// What Slack advises for `text`.
const TEXT_UNITS_MAX: usize = 4_000;
const MENTIONS: [&str; 3] = ["<!channel>", "<@U012AB3CD>", "<!subteam^S012AB3CD>"];

/// Holds a message to every limit. `own_markup` where a template may bring marks of its own.
fn check(body: &Value, own_markup: bool) {
    let text = body["text"].as_str().expect("text is always there");
    mrkdwn(text, TEXT_UNITS_MAX, own_markup);
    assert_eq!(
        (&body["unfurl_links"], &body["unfurl_media"]),
        (&json!(false), &json!(false))
    );
    assert!(body.get("parse").is_none() && body.get("link_names").is_none_or(|links| links == false));
    let blocks = body["blocks"].as_array().expect("blocks");
    assert!((1..=BLOCKS_MAX).contains(&blocks.len()), "{} blocks", blocks.len());
    let mut all = 0;
    let mut ids = Vec::new();
    for block in blocks {
        let list = |key: &str| block[key].as_array().map_or(&[][..], Vec::as_slice);
        let mut read = |object: &Value, max: usize| {
            let text = object["text"].as_str().expect("a text");
            all += units(text);
            match object["type"].as_str() {
                Some("plain_text") => plain(text, max),
                Some("mrkdwn") => {
                    assert_eq!(object["verbatim"], true);
                    mrkdwn(text, max, own_markup);
                }
                other => panic!("a text of type {other:?}"),
            }
        };
        match block["type"].as_str() {
            Some("header") => read(&block["text"], HEADER_UNITS_MAX),
            Some("section") => {
                let fields = list("fields");
                assert!(fields.len() <= FIELDS_MAX && fields.is_empty() != block["text"].is_null());
                fields.iter().for_each(|field| read(field, FIELD_UNITS_MAX));
                if !block["text"].is_null() {
                    read(&block["text"], SECTION_UNITS_MAX);
                }
            }
            Some("context") => list("elements")
                .iter()
                .for_each(|element| read(element, SECTION_UNITS_MAX)),
            Some("actions") => {
                assert!((1..=ACTIONS_MAX).contains(&list("elements").len()));
                for button in list("elements") {
                    read(&button["text"], 75);
                    let url = button["url"].as_str().expect("an address");
                    assert!(url.starts_with("http") && units(url) <= BUTTON_URL_UNITS_MAX);
                    let id = button["action_id"].as_str().expect("an id").to_owned();
                    assert!(!ids.contains(&id));
                    ids.push(id);
                }
            }
            other => panic!("a block of type {other:?}"),
        }
    }
    assert!(all <= MESSAGE_UNITS_MAX + HEADER_UNITS_MAX, "{all} in all");
}

fn plain(text: &str, max: usize) {
    assert!((1..=max).contains(&units(text)), "{} of {max}: {text:?}", units(text));
    assert!(!text.trim().is_empty());
    let hidden = |c: char| c.is_control() && c != '\n' && c != '\t' || matches!(c, '\u{202a}'..='\u{202e}');
    assert!(!text.contains(hidden), "{text:?}");
    let count = |mark| text.matches(mark).count();
    assert_eq!(count('\u{2068}'), count('\u{2069}'), "isolates are closed: {text:?}");
    assert!(!text.contains("\u{200d}…"), "{text:?}");
}

fn mrkdwn(text: &str, max: usize, own_markup: bool) {
    plain(text, max);
    for (at, _) in text.match_indices('&') {
        let (_, rest) = text.split_at(at);
        let whole = ["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity));
        assert!(whole || own_markup, "a broken escape in {text:?}");
    }
    if own_markup {
        return;
    }
    let without_ours = MENTIONS
        .iter()
        .fold(text.to_owned(), |text, mention| text.replace(mention, ""));
    for part in without_ours.split('<').skip(1) {
        assert!(part.starts_with("!date^") && part.contains('>'), "{text:?}");
    }
    assert_eq!(
        without_ours.matches('<').count(),
        without_ours.matches('>').count(),
        "{text:?}"
    );
}

/// Pieces that break what is careless, up to 70,000 characters of them.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<!channel>".to_owned()),
        Just("<https://evil.example|x>".to_owned()),
        Just("&amp;".to_owned()),
        Just("&".to_owned()),
        Just("```".to_owned()),
        Just("*_~`>".to_owned()),
        Just("\u{202e}\u{2066}\0\u{1b}\r\n".to_owned()),
        Just("שלום مرحبا ".to_owned()),
        Just("👨\u{200d}👩\u{200d}👧\u{200d}👦".to_owned()),
        Just("🇩🇪".to_owned()),
        Just("e\u{301}\u{301}\u{301}".to_owned()),
        "(?s).{0,12}",
    ];
    (
        proptest::collection::vec(piece, 0..30),
        prop_oneof![4 => Just(1_usize), 1 => 2_usize..500],
    )
        .prop_map(|(pieces, times)| pieces.concat().repeat(times).chars().take(70_000).collect())
}

/// Data with known and unknown names, deep and wide.
fn hostile_data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        hostile_text().prop_map(Value::from),
    ];
    let name = prop_oneof![
        proptest::sample::select(vec![
            "title",
            "message",
            "agent_name",
            "severity",
            "success_rate",
            "error",
            "reason",
            "version",
            "spec",
            "pr",
            "repository",
            "reviewers",
            "logs_url",
            "acceptance_criteria",
            "status",
            "latency_ms",
            "url",
            "number",
            "id",
        ])
        .prop_map(str::to_owned),
        hostile_text(),
    ];
    leaf.prop_recursive(6, 60, 12, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..15).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..30)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn any_type() -> impl Strategy<Value = String> {
    let built_in = signalbox_proto::types::BUILT_IN
        .iter()
        .map(|known| known.name.to_owned())
        .collect::<Vec<_>>();
    prop_oneof![proptest::sample::select(built_in), "[A-Za-z0-9_-]{1,100}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_event_keeps_every_limit(event_type in any_type(), data in hostile_data()) {
        check(&body_of(&delivery(vec![event(&event_type, &data)])), false);
    }

    #[test]
    fn any_digest_keeps_every_limit(
        events in proptest::collection::vec((any_type(), hostile_data()), 2..8),
        times in 1_usize..30,
    ) {
        let events: Vec<_> = events.iter().map(|(event_type, data)| event(event_type, data)).collect();
        check(&body_of(&delivery(vec![events; times].concat())), false);
    }

    #[test]
    fn any_template_keeps_every_limit(title in proptest::option::of(hostile_text()), body in proptest::option::of(hostile_text())) {
        let one = delivery(vec![event("execution.failed", &json!({ "error": "boom" }))]);
        let request = super::build(&target(), &one, &Text { title, body });
        check(&serde_json::from_slice(&request.body).expect("JSON"), true);
    }

    #[test]
    fn any_look_of_a_type_keeps_every_limit(title in hostile_text(), emoji in hostile_text()) {
        let mut odd = event("own.type", &json!({}));
        odd.event.look = Some(signalbox_proto::types::Look {
            title: Some(title),
            emoji: Some(emoji),
            tone: None,
        });
        check(&body_of(&delivery(vec![odd])), false);
    }
}

#[test]
fn seventy_thousand_characters_of_each_kind_keep_every_limit() {
    for piece in [
        "&",
        "<",
        "a",
        "\n",
        "`",
        "*",
        "\0",
        "\u{202e}",
        "א",
        "👨\u{200d}",
        "🇩",
        "\u{301}",
        "&amp;",
        "<!here>",
    ] {
        let text = piece.repeat(70_000 / piece.chars().count());
        let data = json!({
            "title": text, "message": text, "error": text, "reason": text, "spec": { "id": text, "title": text },
            "reviewers": vec![text.as_str(); 3], "other": [text.clone(), { "a": text.clone() }], text.clone(): text,
        });
        let one = delivery(vec![event("execution.failed", &data)]);
        check(&body_of(&one), false);
        check(&body_of(&delivery(vec![one.events[0].clone(); 50])), false);
    }
}
