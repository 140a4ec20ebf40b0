use serde_json::json;
use signalbox_proto::{outcome::OutcomeKind, refs::Refs};

use super::*;
use crate::{
    conformance::{NOW, hostile},
    http::{self, Auth},
    things::Answer,
};

const TIMEOUT: Duration = Duration::from_secs(15);
const LAG: Duration = Duration::from_secs(30);
/// When what was made is shown.
const SHOWN: Duration = Duration::from_secs(45);

fn delivery() -> Delivery {
    hostile::delivery(hostile::event("alert.created", &json!({})), 1)
}

fn request() -> Result<http::Request, Outcome> {
    Ok(http::Request {
        method: ::http::Method::POST,
        url: "https://target.example/things".parse().unwrap(),
        headers: ::http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        auth: Auth::None,
        identity: None,
    })
}

fn told(_: &Response) -> Result<Vec<Lesson>, Outcome> {
    Ok(vec![Lesson::Fact("thing".into(), "7".to_owned())])
}

fn go_on(delivery: &Delivery, refs: &Refs, answers: &[Answer], seen: Seen) -> Move {
    let names = Refs::default();
    let known = Known {
        refs,
        names: &names,
        answers,
    };
    let making = Making {
        name: "thing",
        delivery,
        known: &known,
        now: NOW,
        timeout: TIMEOUT,
        lag: LAG,
    };
    making.go_on(request, told, |_| seen)
}

fn in_doubt_for(age: Duration) -> Refs {
    let mut refs = Refs::default();
    refs.begin("thing", NOW - age).unwrap();
    refs
}

#[test]
fn what_was_never_asked_for_is_asked_for_and_what_is_known_never_again() {
    let made = go_on(&delivery(), &Refs::default(), &[], Seen::Absent);
    assert!(matches!(made, Move::Once(name, _) if name == "thing"));
    let answer = Answer {
        name: "thing".into(),
        response: Response {
            status: 201,
            headers: ::http::HeaderMap::new(),
            body: bytes::Bytes::new(),
            truncated: false,
        },
    };
    let learnt = go_on(&delivery(), &in_doubt_for(Duration::ZERO), &[answer], Seen::Absent);
    assert!(matches!(learnt, Move::Learn(lessons) if lessons == [Lesson::Fact("thing".into(), "7".to_owned())]));
    let mut refs = Refs::default();
    refs.learn("thing", "7", NOW);
    assert!(matches!(
        go_on(&delivery(), &refs, &[], Seen::Absent),
        Move::Done(Outcome::Delivered)
    ));
}

#[test]
fn a_young_doubt_is_waited_out_and_an_old_one_asked_for_anew() {
    let young = in_doubt_for(Duration::from_secs(10));
    for seen in [Seen::Absent, Seen::Unclear("it shows nothing")] {
        match go_on(&delivery(), &young, &[], seen) {
            Move::Wait { after, .. } => assert_eq!(after, Duration::from_secs(36)),
            other => panic!("{other:?}"),
        }
    }
    let old = in_doubt_for(SHOWN);
    let anew = go_on(&delivery(), &old, &[], Seen::Absent);
    assert!(matches!(anew, Move::Learn(lessons) if lessons[0] == Lesson::Refused("thing".into())));
    let found = vec![Lesson::Fact("thing".into(), "8".to_owned())];
    for doubt in [&young, &old] {
        let learnt = go_on(&delivery(), doubt, &[], Seen::Found(found.clone()));
        assert!(matches!(learnt, Move::Learn(lessons) if lessons == found));
    }
}

#[test]
fn what_nobody_can_see_is_asked_for_once_more_in_each_generation() {
    let mut delivery = delivery();
    let mut refs = in_doubt_for(SHOWN);
    for generation in [0, 9] {
        delivery.generation = generation;
        let Move::Learn(lessons) = go_on(&delivery, &refs, &[], Seen::Unclear("it shows nothing")) else {
            panic!("it is asked for once more")
        };
        assert_eq!(lessons[0], Lesson::Refused("thing".into()));
        let Some(Lesson::Fact(again, value)) = lessons.last() else {
            panic!("{lessons:?}")
        };
        refs.refuse("thing");
        refs.learn(again, value, NOW);
        assert!(matches!(go_on(&delivery, &refs, &[], Seen::Absent), Move::Once(..)));
        refs.begin("thing", NOW - SHOWN).unwrap();
        match go_on(&delivery, &refs, &[], Seen::Unclear("it shows nothing")) {
            Move::Done(outcome) => {
                assert_eq!(outcome.kind(), OutcomeKind::Reject);
                assert!(outcome.reason().unwrap().contains("it shows nothing"), "{outcome:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refs.end(&delivery.id), "it goes once the delivery has arrived");
}

#[test]
fn only_addresses_of_the_web_that_can_be_remembered_are() {
    assert_eq!(
        address("url", Some("https://a.example/1")),
        Some(Lesson::Fact("url".into(), "https://a.example/1".to_owned()))
    );
    let long = format!("https://a.example/{}", "a".repeat(refs::VALUE_BYTES_MAX));
    for none in [None, Some("javascript:x"), Some("https://a\n"), Some(&*long)] {
        assert_eq!(address("url", none), None);
    }
}
