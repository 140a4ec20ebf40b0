use signalbox_proto::{DeadReason, Stage, dead::Input};

use super::*;
use crate::input;

fn rejected(id: &str) -> Input {
    Input {
        subject: "signalbox.in.acme.tick".into(),
        headers: vec![("ce-id".into(), id.into())],
        body: b"[]".to_vec(),
    }
}

#[test]
fn an_input_that_was_rejected_again_is_found_and_its_own_dead_letter_is_not() {
    let now = Timestamp::from_secs(10);
    let mut sought = Sought::since(now);
    sought.input(input::again(7, rejected("1")).expect("it can be sent"), 7);
    let letter = |id| DeadLetter::of_input(Stage::Ingest, DeadReason::Invalid, "no", None, rejected(id), now);
    let mut found = BTreeSet::new();
    sought.find_letter(&mut found, 7, letter("1"));
    sought.find_letter(&mut found, 8, letter("2"));
    assert!(found.is_empty(), "{found:?}");
    sought.find_letter(&mut found, 9, letter("1"));
    assert_eq!(found, BTreeSet::from([7]));
}

#[test]
fn a_delivery_is_found_by_its_id_in_the_generation_of_the_replay() {
    let mut sought = Sought::since(Timestamp::from_secs(10));
    let provider: Name = "webhook".parse().expect("a name");
    sought.delivery("d".into(), 1, provider.clone(), 7);
    sought.delivery("d".into(), 1, provider, 8);
    let mut found = BTreeSet::new();
    sought.find(&mut found, "d".into(), 0);
    sought.find(&mut found, "e".into(), 1);
    assert!(found.is_empty(), "{found:?}");
    sought.find(&mut found, "d".into(), 1);
    assert_eq!(found, BTreeSet::from([7, 8]));
}
