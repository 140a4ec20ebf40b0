use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use signalbox_proto::DeadReason;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn rules() -> Rules {
    Rules {
        expire_after: HOUR,
        deleted: false,
        drop_before: None,
        holds: false,
        hold_for: HOUR * 24,
    }
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.rule("i", rules(), at(0));
    keys
}

fn queued(event: u64, generation: u32, seq: u64) -> Queued {
    Queued {
        event,
        generation,
        seq,
        since: at(0),
    }
}

fn arrive(keys: &mut Keys, queued: Queued) -> Vec<u64> {
    let arrival = Arrival {
        key: "k",
        integration: "i",
        source: 0,
        queued,
    };
    keys.arrive(arrival, at(1))
}

fn head(event: u64, generation: u32, seq: u64) -> Head {
    Head {
        id: "d".into(),
        event,
        generation,
        seq,
        at: at(1),
        due: None,
        probe: false,
        held: false,
    }
}

fn next(keys: &mut Keys, now: Timestamp) -> Option<Turn> {
    keys.wake(now);
    let (_, key) = keys.oldest("i")?;
    keys.take(&key, now)
}

#[test]
fn the_first_event_goes_first_whenever_it_was_stored() {
    let mut keys = keys();
    arrive(&mut keys, queued(7, 0, 1));
    arrive(&mut keys, queued(5, 0, 2));
    arrive(&mut keys, queued(6, 0, 3));
    assert_eq!(next(&mut keys, at(1)), None, "nothing is known to be routed");
    keys.routed(0, 5, at(1));
    let turn = next(&mut keys, at(1)).expect("5 may go");
    assert_eq!((turn.queued.event, turn.queued.seq, turn.last), (5, 2, 0));
    assert_eq!(next(&mut keys, at(1)), None, "one at a time");
    keys.ended(&turn.key, turn.queued, at(1));
    assert_eq!(next(&mut keys, at(1)), None, "6 waits for the router");
    assert_eq!(keys.unrouted().collect::<Vec<_>>(), [(0, 6)]);
    keys.routed(0, 9, at(1));
    assert_eq!(next(&mut keys, at(1)).map(|turn| turn.queued.event), Some(6));
}

#[test]
fn what_has_ended_is_not_taken_again_when_a_router_brings_it_once_more() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    keys.routed(0, 9, at(1));
    let turn = next(&mut keys, at(1)).expect("it may go");
    keys.ended(&turn.key, turn.queued, at(1));
    assert_eq!(arrive(&mut keys, queued(5, 0, 2)), [2]);
    assert_eq!(arrive(&mut keys, queued(4, 0, 3)), [3], "all of it was routed before");
    assert_eq!(keys.len(), 0);
    keys.wake(at(1) + REMEMBERED);
    assert!(
        keys.keys.is_empty() && keys.timers.is_empty(),
        "and in the end it is forgotten"
    );
}

#[test]
fn one_that_ends_before_all_is_routed_hides_nothing_that_comes_later() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    let late = at(0) + HOUR;
    keys.wake(late);
    let turn = keys.take_ending(late).expect("it has expired");
    assert!(matches!(turn.kind, Kind::End(DeadReason::Expired, _)));
    keys.ended(&turn.key, turn.queued, late);
    assert_eq!(arrive(&mut keys, queued(4, 0, 2)), [0; 0]);
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_repeat_of_what_waits_is_of_no_use_and_a_replay_takes_its_place() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    assert_eq!(arrive(&mut keys, queued(5, 0, 2)), [2]);
    assert_eq!(arrive(&mut keys, queued(5, 0, 1)), [0; 0], "the very same is no repeat");
    assert_eq!(arrive(&mut keys, queued(5, 9, 3)), [1]);
    assert_eq!(keys.len(), 1);
    let turn = next(&mut keys, at(1)).expect("a replay waits for no router");
    assert_eq!((turn.queued.generation, turn.queued.seq), (9, 3));
}

#[test]
fn a_delivery_that_is_tried_again_holds_those_behind_it_until_it_is_due() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    arrive(&mut keys, queued(6, 0, 2));
    keys.routed(0, 9, at(1));
    let turn = next(&mut keys, at(1)).expect("5 may go");
    let again = Head {
        due: Some(at(30)),
        ..head(5, 0, 3)
    };
    keys.retries(&turn.key, again.clone(), at(1));
    assert_eq!(keys.next_wake(), Some(at(30)));
    assert_eq!(next(&mut keys, at(29)), None);
    let turn = next(&mut keys, at(30)).expect("it is due");
    assert_eq!((turn.queued.event, turn.last, turn.tried), (5, 3, true));
    // What it reads of its own writing changes nothing.
    assert_eq!(keys.headed("k", "i", 0, again, at(30)), [0; 0]);
    keys.ended(&turn.key, turn.queued, at(30));
    let turn = next(&mut keys, at(30)).expect("6 may go");
    assert_eq!((turn.queued.event, turn.last, turn.tried), (6, 0, false));
}

#[test]
fn the_state_of_a_delivery_that_has_ended_is_of_no_use() {
    let mut keys = keys();
    arrive(&mut keys, queued(6, 0, 2));
    assert_eq!(keys.headed("k", "i", 0, head(5, 0, 3), at(1)), [3]);
    keys.routed(0, 9, at(1));
    assert_eq!(next(&mut keys, at(1)).map(|turn| turn.queued.event), Some(6));
}

fn held_key() -> Keys {
    let mut keys = keys();
    keys.rule("i", Rules { holds: true, ..rules() }, at(0));
    arrive(&mut keys, queued(5, 0, 1));
    arrive(&mut keys, queued(6, 0, 2));
    keys.routed(0, 9, at(1));
    let turn = next(&mut keys, at(1)).expect("5 may go");
    let held = Head {
        held: true,
        ..head(5, 0, 3)
    };
    keys.held(&turn.key, turn.queued, held, at(1));
    keys
}

#[test]
fn a_held_key_goes_on_with_a_replay_of_its_dead_one_and_with_nothing_else() {
    let mut keys = held_key();
    assert_eq!(next(&mut keys, at(2)), None);
    arrive(&mut keys, queued(3, 8, 4));
    assert_eq!(next(&mut keys, at(2)), None, "a replay of another one waits too");
    arrive(&mut keys, queued(5, 9, 5));
    let turn = next(&mut keys, at(2)).expect("the replay goes");
    assert_eq!((turn.queued.seq, turn.last, turn.tried, turn.own), (5, 3, false, true));
    keys.ended(&turn.key, turn.queued, at(2));
    assert_eq!(next(&mut keys, at(2)).map(|turn| turn.queued.event), Some(3));
}

#[test]
fn a_held_key_goes_on_when_a_person_lets_it_go_or_the_rule_does_or_its_letter_is_gone() {
    let mut keys = held_key();
    assert_eq!(keys.headed("k", "i", 0, head(5, 0, 4), at(2)), [4]);
    assert_eq!(next(&mut keys, at(2)).map(|turn| turn.queued.event), Some(6));
    for change in [
        rules(),
        Rules {
            holds: true,
            hold_for: Duration::from_secs(1),
            ..rules()
        },
    ] {
        let mut keys = held_key();
        keys.rule("i", change, at(10));
        let turn = keys.take_ending(at(10)).expect("it waits no longer");
        assert_eq!((turn.kind, turn.last), (Kind::Release, 3));
        keys.released(&turn.key, turn.last, at(10));
        assert_eq!(next(&mut keys, at(10)).map(|turn| turn.queued.event), Some(6));
    }
}

#[test]
fn behind_a_dead_one_what_waits_too_long_ends_and_the_key_stays_held() {
    let mut keys = held_key();
    let late = at(0) + HOUR;
    keys.wake(late);
    let turn = keys.take_ending(late).expect("6 has expired");
    assert_eq!((turn.queued.event, turn.own), (6, false));
    keys.ended(&turn.key, turn.queued, late);
    keys.rule("i", rules(), late);
    assert_eq!(keys.take_ending(late).map(|turn| turn.kind), Some(Kind::Release));
}

#[test]
fn all_of_a_deleted_integration_ends_and_what_is_older_than_asked_for_is_dropped() {
    let mut keys = keys();
    for n in 0..3 {
        let arrival = Queued {
            since: at(n),
            ..queued(5 + n as u64, 0, 1 + n as u64)
        };
        arrive(&mut keys, arrival);
    }
    let dropping = Rules {
        drop_before: Some(at(1)),
        ..rules()
    };
    keys.rule("i", dropping, at(5));
    let turn = keys.take_ending(at(5)).expect("the first is too old");
    assert!(matches!(turn.kind, Kind::End(DeadReason::Discarded, _)));
    keys.ended(&turn.key, turn.queued, at(5));
    assert_eq!(keys.take_ending(at(5)), None);
    let deleted = Rules {
        deleted: true,
        ..rules()
    };
    keys.rule("i", deleted, at(5));
    for event in [6, 7] {
        let turn = keys.take_ending(at(5)).expect("it ends");
        assert_eq!(turn.queued.event, event);
        keys.ended(&turn.key, turn.queued, at(5));
    }
    assert_eq!(keys.len(), 0);
}

#[test]
fn a_probe_is_found_when_it_is_due_and_its_time_means_nothing_once_the_integration_is_let_go() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    let probe = Head {
        probe: true,
        due: Some(at(60)),
        ..head(5, 0, 2)
    };
    keys.headed("k", "i", 0, probe, at(1));
    keys.routed(0, 9, at(1));
    assert_eq!(keys.probe("i", "d"), None, "it is not due");
    keys.wake(at(60));
    assert!(keys.probe("i", "d").is_some());
    assert!(keys.probe("i", "another").is_none());
    let mut later = self::keys();
    arrive(&mut later, queued(5, 0, 1));
    let probe = Head {
        probe: true,
        due: Some(at(3_000)),
        ..head(5, 0, 2)
    };
    later.headed("k", "i", 0, probe, at(1));
    later.routed(0, 9, at(1));
    later.release_probes("i", at(2));
    assert!(next(&mut later, at(2)).is_some());
}

fn probe(event: u64, generation: u32, seq: u64, due: i64) -> Head {
    Head {
        probe: true,
        due: Some(at(due)),
        ..head(event, generation, seq)
    }
}

#[test]
fn a_probe_behind_a_replay_of_an_earlier_event_is_not_offered_in_its_place() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    keys.headed("k", "i", 0, probe(5, 0, 2, 60), at(1));
    keys.routed(0, 9, at(1));
    // Events of the past are replayed: 3 and 5, and the latter takes the place of the probe.
    arrive(&mut keys, queued(3, 8, 3));
    assert_eq!(arrive(&mut keys, queued(5, 8, 4)), [1]);
    keys.wake(at(60));
    assert_eq!(keys.oldest("i").map(|(event, _)| event), Some(3));
    assert_eq!(keys.probe("i", "d"), None, "3 is not the probe");
    let turn = next(&mut keys, at(60)).expect("3 goes first, where it may");
    assert!(!turn.probe);
    keys.ended(&turn.key, turn.queued, at(60));
    let key = keys.probe("i", "d").expect("its replay is the probe now");
    let turn = keys.take(&key, at(60)).expect("it may go");
    assert_eq!((turn.queued.seq, turn.probe, turn.tried), (4, true, false));
}

#[test]
fn a_replay_of_a_probe_waits_for_the_time_of_the_probe() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    keys.headed("k", "i", 0, probe(5, 0, 2, 60), at(1));
    keys.routed(0, 9, at(1));
    assert_eq!(arrive(&mut keys, queued(5, 8, 3)), [1]);
    assert_eq!(keys.probe("i", "d"), None, "it is not due");
    keys.wake(at(60));
    assert!(keys.probe("i", "d").is_some());
}

#[test]
fn all_that_ever_probed_is_let_go_with_its_integration() {
    let mut keys = keys();
    for (key, event) in [("k", 5), ("l", 6)] {
        let arrival = Arrival {
            key,
            integration: "i",
            source: 0,
            queued: queued(event, 0, event),
        };
        keys.arrive(arrival, at(1));
        keys.headed(key, "i", 0, probe(event, 0, 10 + event, 3_000), at(1));
    }
    keys.routed(0, 9, at(1));
    assert_eq!(keys.probed().count(), 1, "one integration");
    keys.release_probes("i", at(2));
    assert_eq!(keys.ready_of("i"), 2, "neither waits for the time of its probe");
    assert_eq!(keys.probed().count(), 0);
}

#[test]
fn what_no_longer_probes_is_not_remembered_as_a_probe() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    keys.headed("k", "i", 0, probe(5, 0, 2, 1), at(1));
    keys.routed(0, 9, at(1));
    let turn = next(&mut keys, at(2)).expect("it is due");
    keys.ended(&turn.key, turn.queued, at(2));
    assert_eq!(keys.probed().count(), 0);
}

#[test]
fn an_event_that_was_accepted_later_is_no_repeat_whatever_its_sequence() {
    let mut keys = keys();
    arrive(&mut keys, queued(5, 0, 1));
    keys.routed(0, 9, at(1));
    let turn = next(&mut keys, at(1)).expect("it may go");
    keys.ended(&turn.key, turn.queued, at(1));
    // The server lost its last events, and gave the sequence of one of them to another.
    let other = Queued {
        since: at(2),
        ..queued(4, 0, 2)
    };
    assert_eq!(arrive(&mut keys, other), [0; 0]);
    assert_eq!(next(&mut keys, at(3)).map(|turn| turn.queued.seq), Some(2));
}

/// What a server keeps: the deliveries and the states of two keys, each with its sequence.
#[derive(Clone, Debug, Default)]
struct Storage {
    last: u64,
    queued: BTreeMap<u64, (usize, Queued)>,
    heads: BTreeMap<usize, Head>,
    /// What came of events, by sequence, and whether it is stored.
    routed: BTreeMap<u64, (usize, bool)>,
    ended: BTreeSet<u64>,
    requests: Vec<(usize, u64)>,
}

const NAMES: [&str; 2] = ["a", "b"];

impl Storage {
    fn store(&mut self, event: u64) -> Option<(usize, Queued)> {
        let (key, stored) = self.routed.get_mut(&event)?;
        let key = *key;
        *stored = true;
        self.last += 1;
        let queued = queued(event, 0, self.last);
        self.queued.insert(self.last, (key, queued));
        Some((key, queued))
    }

    /// All events up to this one have been stored.
    fn floor(&self) -> u64 {
        let mut floor = 0;
        for (event, (_, stored)) in &self.routed {
            if !stored {
                break;
            }
            floor = *event;
        }
        floor
    }

    /// A new worker reads all, in the order in which it was stored.
    fn read(&mut self) -> Keys {
        let mut keys = keys();
        let mut all: Vec<(u64, usize, Option<Head>, Option<Queued>)> = Vec::new();
        all.extend(
            self.queued
                .iter()
                .map(|(seq, (key, queued))| (*seq, *key, None, Some(*queued))),
        );
        all.extend(
            self.heads
                .iter()
                .map(|(key, head)| (head.seq, *key, Some(head.clone()), None)),
        );
        all.sort_by_key(|(seq, ..)| *seq);
        for (_, key, head, queued) in all {
            if let Some(queued) = queued {
                self.arrive(&mut keys, key, queued);
            }
            if let Some(head) = head {
                let useless = keys.headed(NAMES[key], "i", 0, head, at(1));
                self.remove(&useless);
            }
        }
        keys
    }

    fn arrive(&mut self, keys: &mut Keys, key: usize, queued: Queued) {
        let arrival = Arrival {
            key: NAMES[key],
            integration: "i",
            source: 0,
            queued,
        };
        let useless = keys.arrive(arrival, at(1));
        self.remove(&useless);
    }

    fn remove(&mut self, seqs: &[u64]) {
        for seq in seqs {
            self.queued.remove(seq);
            self.heads.retain(|_, head| head.seq != *seq);
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// The router stores what came of one of the next events, or of one that it has stored before.
    Route(usize),
    /// The router stores again what it has stored before.
    RouteAgain(usize),
    /// The worker takes the next of a key, and does so many of the effects of its end before it dies, if it does.
    Work {
        fails: bool,
        dies_after: Option<u8>,
    },
    /// The worker is told how far the router is.
    Floor,
    Die,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0_usize..4).prop_map(Act::Route),
        1 => (0_usize..30).prop_map(Act::RouteAgain),
        6 => (any::<bool>(), prop::option::weighted(0.3, 0_u8..4)).prop_map(|(fails, dies_after)| Act::Work { fails, dies_after }),
        3 => Just(Act::Floor),
        1 => Just(Act::Die),
    ];
    prop::collection::vec(act, 1..120)
}

fn work(storage: &mut Storage, keys: &mut Keys, fails: bool, dies_after: Option<u8>) {
    let Some(turn) = next(keys, at(1)) else { return };
    let key = NAMES
        .iter()
        .position(|name| *name == &*turn.key)
        .expect("one of the two");
    let dies = |step: u8| dies_after == Some(step);
    storage.requests.push((key, turn.queued.event));
    if dies(0) {
        *keys = storage.read();
        return;
    }
    if fails {
        storage.last += 1;
        let head = head(turn.queued.event, 0, storage.last);
        storage.heads.insert(key, head.clone());
        if dies(1) {
            *keys = storage.read();
        } else {
            keys.retries(&turn.key, head, at(1));
        }
        return;
    }
    storage.ended.insert(turn.queued.event);
    if dies(1) {
        *keys = storage.read();
        return;
    }
    storage.remove(&[turn.queued.seq]);
    if dies(2) {
        *keys = storage.read();
        return;
    }
    storage.remove(&[turn.last]);
    if dies(3) {
        *keys = storage.read();
    } else {
        keys.ended(&turn.key, turn.queued, at(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_when_and_whoever_dies_each_key_has_all_its_events_in_order(
        owners in prop::collection::vec(0_usize..2, 1..30),
        acts in acts(),
    ) {
        let mut storage = Storage::default();
        for (n, key) in owners.iter().enumerate() {
            storage.routed.insert(n as u64 + 1, (*key, false));
        }
        let mut keys = storage.read();
        let floor = |storage: &Storage, keys: &mut Keys| {
            // A mark: what was stored before is seen before.
            keys.routed(0, storage.floor(), at(1));
        };
        for act in acts {
            match act {
                Act::Route(ahead) => {
                    let waiting: Vec<u64> =
                        storage.routed.iter().filter(|(_, (_, stored))| !stored).map(|(event, _)| *event).collect();
                    if let Some(event) = waiting.get(ahead).or(waiting.first())
                        && let Some((key, queued)) = storage.store(*event)
                    {
                        storage.arrive(&mut keys, key, queued);
                    }
                }
                Act::RouteAgain(number) => {
                    let event = number as u64 + 1;
                    // The server knows a repeat of what has ended, but for that of a worker that died just then.
                    let stored = storage.routed.get(&event).is_some_and(|(_, stored)| *stored);
                    if stored && !storage.ended.contains(&event)
                        && let Some((key, queued)) = storage.store(event)
                    {
                        storage.arrive(&mut keys, key, queued);
                    }
                }
                Act::Work { fails, dies_after } => work(&mut storage, &mut keys, fails, dies_after),
                Act::Floor => floor(&storage, &mut keys),
                Act::Die => keys = storage.read(),
            }
        }
        // All is routed, nobody dies any more.
        while let Some(event) =
            storage.routed.iter().find(|(_, (_, stored))| !stored).map(|(event, _)| *event)
        {
            if let Some((key, queued)) = storage.store(event) {
                storage.arrive(&mut keys, key, queued);
            }
        }
        floor(&storage, &mut keys);
        for _ in 0..200 {
            work(&mut storage, &mut keys, false, None);
        }
        prop_assert!(storage.queued.is_empty() && storage.heads.is_empty(), "{storage:?}");
        prop_assert_eq!(keys.len(), 0);
        for key in 0..2 {
            let mut seen: Vec<u64> =
                storage.requests.iter().filter(|(of, _)| *of == key).map(|(_, event)| *event).collect();
            seen.dedup();
            let wanted: Vec<u64> =
                storage.routed.iter().filter(|(_, (of, _))| *of == key).map(|(event, _)| *event).collect();
            prop_assert_eq!(seen, wanted);
        }
    }
}
