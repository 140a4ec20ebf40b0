use serde_json::json;

use super::*;
use crate::conformance::hostile;

fn event(event_type: &str, data: serde_json::Value) -> Event {
    hostile::event(event_type, &data)
}

#[test]
fn the_name_is_the_subject_else_the_key_of_the_data_else_the_agent() {
    let mut one = event("alert.created", json!({ "dedup_key": "disk" }));
    assert_eq!(Entity::of(&one).name, "disk");
    one.subject = Some("db-1".to_owned());
    one.agent_id = Some("a-7".to_owned());
    assert_eq!(Entity::of(&one).name, "db-1");
    let mut bare = event("alert.created", json!({ "dedup_key": 7 }));
    assert_eq!(Entity::of(&bare).name, SYSTEM);
    bare.agent_id = Some("a-7".to_owned());
    assert_eq!(Entity::of(&bare).name, "a-7");
    let mut escaped = event("alert.created", json!({}));
    escaped.data = signalbox_proto::RawJson::from_checked(r#"{"dedup\u005fkey":"d\u0069sk"}"#.into());
    assert_eq!(Entity::of(&escaped).name, "disk", "however it is written");
    bare.subject = Some(String::new());
    assert_eq!(Entity::of(&bare).name, "a-7");
}

#[test]
fn what_closes_has_the_key_of_what_opened() {
    for (opens, closes) in PAIRS {
        let (opening, closing) = (event(opens, json!({})), event(closes, json!({})));
        let (open, close) = (Entity::of(&opening), Entity::of(&closing));
        assert_eq!((open.part, close.part), (Part::Opens, Part::Closes));
        assert_eq!(open.key("i", 255), close.key("i", 255));
        assert_ne!(open.key("i", 255), open.key("j", 255));
    }
    let alone = event("execution.failed", json!({}));
    assert_eq!(Entity::of(&alone).part, Part::Alone);
    assert_eq!(Entity::of(&alone).key("i", 255), "i/execution.failed/system");
}

#[test]
fn a_long_key_is_cut_and_stays_one_of_a_kind() {
    let mut one = event("alert.created", json!({}));
    one.subject = Some("ü".repeat(300));
    let mut other = one.clone();
    other.subject = Some("ü".repeat(301));
    let (one, other) = (Entity::of(&one).key("i", 255), Entity::of(&other).key("i", 255));
    assert!(one.len() <= 255 && other.len() <= 255, "{one}, {other}");
    assert_ne!(one, other);
    assert!(one.starts_with("i/alert/üü"), "{one}");
}

#[test]
fn a_key_is_one_line_that_nobody_trims_and_stays_one_of_a_kind() {
    let of = |subject: &str| {
        let mut one = event("alert.created", json!({}));
        one.subject = Some(subject.to_owned());
        Entity::of(&one).key("i", 255)
    };
    assert_eq!(of("db 1"), "i/alert/db 1");
    let odd = [of("db\n1"), of("db\u{0}1"), of("db 1 "), of("db\t1"), of("db\u{202e}1")];
    for key in &odd {
        assert!(
            !key.contains(['\u{0}', '\n', '\t', '\u{202e}']) && key.trim() == key,
            "{key:?}"
        );
        assert!(key.starts_with("i/alert/db"), "{key:?}");
        assert_ne!(*key, of("db 1"));
    }
    assert_eq!(odd.iter().collect::<std::collections::BTreeSet<_>>().len(), odd.len());
}

#[test]
fn a_digest_says_the_last_of_each_entity_what_closes_first_and_leaves_none_out() {
    let mut delivery = hostile::delivery(event("alert.created", json!({})), 1);
    delivery.digest = true;
    let of = |event_type: &str, name: String, seq| {
        let mut event = event(event_type, json!({}));
        event.subject = Some(name);
        Accepted {
            event,
            seq,
            ..delivery.event().clone()
        }
    };
    let mut events = vec![
        of("alert.created", "a".to_owned(), 1),
        of("execution.failed", "b".to_owned(), 2),
        of("alert.resolved", "a".to_owned(), 3),
    ];
    events.extend((0..40).map(|number| of("build.failed", format!("n{number}"), 10 + number)));
    delivery.events = events;
    let turns: Vec<Turn<'_>> = (0..).map_while(|index| in_turn(&delivery, index)).collect();
    assert_eq!(turns.len(), IN_TURN_MAX);
    let Some(Turn::One(first, accepted)) = turns.first() else {
        panic!("{turns:?}");
    };
    assert_eq!((first.part, accepted.seq), (Part::Closes, 3));
    let Some(Turn::Rest(rest)) = turns.last() else {
        panic!("{turns:?}");
    };
    // 42 entities: 19 of them in turn.
    assert_eq!(rest.len(), 42 - (IN_TURN_MAX - 1));
    assert!(in_turn(&delivery, IN_TURN_MAX).is_none());
    let plan = Turns::of(&delivery);
    let closes: Vec<usize> = (0..=IN_TURN_MAX).filter(|index| plan.closes(*index)).collect();
    assert_eq!(closes, [0]);
}

#[test]
fn an_event_is_one_turn() {
    let closing = hostile::delivery(event("alert.resolved", json!({})), 1);
    assert!(matches!(in_turn(&closing, 0), Some(Turn::One(..))));
    assert!(in_turn(&closing, 1).is_none() && Turns::of(&closing).into_nth(1).is_none());
    assert!(Turns::of(&closing).closes(0) && !Turns::of(&closing).closes(1));
}
