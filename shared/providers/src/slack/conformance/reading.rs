//! What a reader of a channel sees of texts that are long, hostile or marked, and what answers mean in detail.

use serde_json::{Value, json};
use signalbox_proto::{Delivery, Outcome, integration::Template, outcome::OutcomeKind, types};

use super::{JOINER, Marks, accepts_template, message};
use crate::{
    conformance::{Answer, Case, answer, hostile, responses::outcome},
    find,
};

fn cases() -> Vec<Case> {
    Case::of(find("slack").expect("it is in the table"))
}

/// All texts of a message of one event, one after another.
fn texts_of(data: &Value) -> Vec<String> {
    let delivery = hostile::delivery(hostile::event("execution.failed", data), 1);
    let case = cases().swap_remove(0);
    let request = case.requests(&*case.target(), &delivery).swap_remove(0);
    let body = message(&request, &delivery, Marks::Ours);
    let mut texts = vec![body["text"].as_str().unwrap_or_default().to_owned()];
    for block in body["blocks"].as_array().into_iter().flatten() {
        let inner = [&block["text"]]
            .into_iter()
            .chain(block["fields"].as_array().into_iter().flatten());
        texts.extend(inner.filter_map(|text| Some(text["text"].as_str()?.to_owned())));
    }
    texts
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[test]
fn what_is_gone_suspends_at_once_and_other_refusals_only_when_repeated() {
    for case in cases() {
        for (status, body, expected) in [
            (410, "channel_is_archived", true),
            (410, "", true),
            (403, "invalid_token", false),
            (404, "no_service", false),
            (200, r#"{"ok":false,"error":"is_archived"}"#, false),
        ] {
            match outcome(&case, &answer(status, body, OutcomeKind::Suspend)) {
                Outcome::Suspend { at_once, .. } => assert_eq!(at_once, expected, "{status} {body}"),
                other => panic!("{status} {body}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_limit_that_is_told_inside_a_200_is_waited_for_too() {
    for case in cases() {
        for (status, body) in [
            (200, r#"{"ok":false,"error":"ratelimited"}"#),
            (429, r#"{"ok":false,"error":"ratelimited"}"#),
            (429, "<html>slow down</html>"),
            (200, "<html>slow down</html>"),
        ] {
            let answer = Answer {
                headers: &[("retry-after", "37")],
                ..answer(status, body, OutcomeKind::Retry)
            };
            match outcome(&case, &answer) {
                Outcome::Retry { after, .. } => assert_eq!(after.map(|after| after.as_secs()), Some(37), "{body}"),
                other => panic!("{status} {body}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_reader_sees_what_was_written() {
    for written in [
        "a < b && c > d",
        "&amp; &lt;!channel&gt; &nbsp;",
        "<https://example.com|here> <!here> <@U012ABCDEF> @channel #general",
        "שלום עולם <b>",
        "two\nlines",
    ] {
        let texts = texts_of(&json!({ "message": written, "note": written }));
        let shown = |place: &str, text: Option<&String>| {
            let text = unescaped(text.unwrap_or_else(|| panic!("no {place} in {texts:?}")));
            assert!(text.contains(written), "{place}: {text:?} does not show {written:?}");
        };
        shown("notification", texts.first());
        shown(
            "message",
            texts
                .iter()
                .find(|text| text.starts_with("<!channel>") && text.contains('\n')),
        );
        shown("field", texts.iter().find(|text| text.starts_with("*Note*")));
    }
}

/// Signs of one and of many code points, and what an escape stands for: whatever a limit is, whole ones are kept.
#[test]
fn a_cut_leaves_whole_signs_and_whole_escapes() {
    for sign in [
        "&",
        "<",
        ">",
        "👩\u{200d}👩\u{200d}👧\u{200d}👦",
        "🇩🇪",
        "👍🏽",
        "e\u{301}\u{323}",
        "🏳\u{fe0f}\u{200d}🌈",
        "𝕳",
    ] {
        // Each prefix moves the border to another place inside a sign.
        for prefix in ["", "x", "xx", "xxx", "xxxx", "xxxxx", "xxxxxx"] {
            let written = format!("{prefix}{}", sign.repeat(3_000));
            let mut cuts = 0;
            for text in texts_of(&json!({ "title": written, "message": written, "error": written, "long": written })) {
                for part in unescaped(&text).split(['\n', ' ', '*']) {
                    let Some(kept) = part.strip_suffix('…').and_then(|kept| kept.strip_prefix(prefix)) else {
                        continue;
                    };
                    cuts += 1;
                    let rest = kept.replace(sign, "");
                    assert!(
                        rest.is_empty(),
                        "{sign:?} behind {prefix:?}: {rest:?} is left of {part:?}"
                    );
                }
            }
            assert!(cuts >= 4, "{sign:?} behind {prefix:?}: {cuts} cuts");
        }
    }
}

/// Each text has room of its own, and all of them together have less.
#[test]
fn much_text_keeps_to_what_a_message_may_hold() {
    for sign in ["x", "𝕳", "<"] {
        let check = |delivery: &Delivery| {
            for case in cases() {
                (case.sample.accepts)(&case.requests(&*case.target(), delivery).swap_remove(0), delivery);
            }
        };
        let fields = (0..60).map(|n| (format!("field_{n}"), Value::from(sign.repeat(800))));
        let mut data: serde_json::Map<String, Value> = fields.collect();
        data.insert("message".to_owned(), sign.repeat(2_000).into());
        check(&hostile::delivery(hostile::event("execution.failed", &data.into()), 1));
        let line = json!({ "title": sign.repeat(200), "message": sign.repeat(2_000) });
        let mut digest = hostile::delivery(hostile::event("execution.failed", &line), 1);
        let one = digest.event().clone();
        digest.events.extend(std::iter::repeat_n(one, 59));
        check(&digest);
    }
}

/// The title of a registered type may be long; characters outside the first plane count twice.
#[test]
fn a_title_of_any_length_stands_in_the_header() {
    // The x puts the border at another place inside a sign.
    for sign in ["𝕳", "x𝕳", "&", "👩\u{200d}👩\u{200d}👧\u{200d}👦", "ש", "<!here>"] {
        let mut own = hostile::event("own.type", &json!({}));
        own.look = Some(types::Look {
            title: Some(match sign.strip_prefix('x') {
                Some(rest) => format!("x{}", rest.repeat(500)),
                None => sign.repeat(500),
            }),
            emoji: None,
            tone: None,
        });
        let delivery = hostile::delivery(own, 1);
        for case in cases() {
            (case.sample.accepts)(&case.requests(&*case.target(), &delivery).swap_remove(0), &delivery);
        }
    }
}

/// A link that fits into no section is shown as text, and parts no limit.
#[test]
fn a_link_of_any_length_in_a_template_keeps_to_the_limits() {
    for length in [
        100, 480, 950, 1_000, 2_900, 2_960, 2_970, 2_980, 2_990, 3_000, 3_050, 3_080, 9_000,
    ] {
        let body = "<https://example.com/{{ event.data.path }}|the run> ".to_owned() + &"and more ".repeat(900);
        let mut case = cases().swap_remove(2);
        case.sample.template = Some(Template {
            title: Some("<https://example.com/{{ event.data.path|truncate(950, true) }}|run>".to_owned()),
            body: Some(body),
        });
        let data = json!({ "path": "a".repeat(length) });
        let delivery = hostile::delivery(hostile::event("execution.failed", &data), 1);
        accepts_template(&case.requests(&*case.target(), &delivery).swap_remove(0), &delivery);
    }
}

/// Code that one event opens would swallow the lines of others.
#[test]
fn no_event_of_a_digest_writes_into_the_lines_of_others() {
    let data = json!({ "title": "```", "message": "``` and ```\n\u{2028}*more*" });
    let mut event = hostile::event("alert.resolved", &data);
    event.look = Some(types::Look {
        title: Some("``` title".to_owned()),
        emoji: Some("```".to_owned()),
        tone: None,
    });
    let mut delivery = hostile::delivery(event, 1);
    for _ in 0..3 {
        delivery.events.push(delivery.event().clone());
    }
    let case = cases().swap_remove(0);
    let request = case.requests(&*case.target(), &delivery).swap_remove(0);
    let body = message(&request, &delivery, Marks::Ours);
    let lines = body["blocks"][2]["text"]["text"].as_str().expect("the lines");
    assert_eq!(lines.lines().count(), 4, "one line for each event: {lines:?}");
    assert!(!lines.contains("```"), "{lines:?}");
}

#[test]
fn no_value_in_a_template_calls_anybody() {
    let case = cases().swap_remove(2);
    for written in [
        "!channel",
        "!here|x",
        "@U012ABCDEF",
        "#C012ABCDEF",
        "!subteam^S012ABCDEF",
        "\u{feff}!channel",
        "\u{0}!here",
        "\u{202e}@U012ABCDEF",
        "\u{1b}\u{85}!everyone",
        " !channel",
        "\t\u{2066}!channel",
        "\n!channel",
        "\u{a0}!channel",
    ] {
        let data = json!({ "title": written, "message": written, "error": written, "reason": written });
        let delivery = hostile::delivery(hostile::event("alert.resolved", &data), 1);
        let request = case.requests(&*case.target(), &delivery).swap_remove(0);
        accepts_template(&request, &delivery);
    }
    let data = json!({ "message": "!channel" });
    let delivery = hostile::delivery(hostile::event("alert.resolved", &data), 1);
    let request = case.requests(&*case.target(), &delivery).swap_remove(0);
    let body = String::from_utf8_lossy(&request.body).into_owned();
    assert!(body.contains(&format!("<{JOINER}!channel>")), "{body}");
}
