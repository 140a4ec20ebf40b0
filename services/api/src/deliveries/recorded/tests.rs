//! Pages are the same wherever the line lies between what is recorded and what the streams alone have.

use std::collections::BTreeSet;

use proptest::prelude::*;
use signalbox_proto::{
    Attempt, DeadLetter, DeadReason, Delivery, Record,
    act::{Did, Mark},
    ledger::Final,
    outcome::Next,
    subjects,
};
use signalbox_store::{
    Config,
    history::{Batch, Cursor, Move, Position},
};

use super::*;
use crate::{
    deliveries::{
        filter::{Filter, STATUSES, place_of},
        known_attempts,
        tests::{accepted, letter, of_event, org, tried},
    },
    story::{Place, Wanted},
};

const MADE: Timestamp = Timestamp::from_secs(5);
/// The generation of replays.
const AGAIN: u32 = 8;
const DELIVERED: Next = Next::Final(Final::Delivered);
const DEAD: Next = Next::Final(Final::Dead);

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    Retrying,
    Parked,
    /// At once, and its message is still in its lane.
    Delivered,
    DeliveredLate,
    Dead,
    GivenUp,
    ReplayedAndWaits,
    ReplayedAndDelivered,
}

impl Fate {
    const ALL: [Self; 9] = [
        Self::Pending,
        Self::Retrying,
        Self::Parked,
        Self::Delivered,
        Self::DeliveredLate,
        Self::Dead,
        Self::GivenUp,
        Self::ReplayedAndWaits,
        Self::ReplayedAndDelivered,
    ];

    /// The status that lists show, and how many requests were sent.
    fn expected(self) -> (&'static str, u64) {
        match self {
            Self::Pending => ("pending", 0),
            Self::Retrying => ("retrying", 2),
            Self::Parked => ("parked", 1),
            Self::Delivered => ("delivered", 1),
            Self::DeliveredLate => ("delivered", 3),
            Self::Dead => ("dead", 9),
            Self::GivenUp => ("discarded", 9),
            Self::ReplayedAndWaits => ("pending", 9),
            Self::ReplayedAndDelivered => ("delivered", 10),
        }
    }

    fn outcomes(self, seq: u64) -> Vec<Attempt> {
        let failed = |attempt| tried(seq, 0, attempt, Next::Retrying);
        let to_death = || (1..9).map(failed).chain([tried(seq, 0, 9, DEAD)]);
        match self {
            Self::Pending => Vec::new(),
            Self::Retrying => vec![failed(1), failed(2)],
            Self::Parked => vec![tried(seq, 0, 1, Next::Parked)],
            Self::Delivered => vec![tried(seq, 0, 1, DELIVERED)],
            Self::DeliveredLate => vec![failed(1), failed(2), tried(seq, 0, 3, DELIVERED)],
            Self::Dead | Self::GivenUp | Self::ReplayedAndWaits => to_death().collect(),
            Self::ReplayedAndDelivered => to_death().chain([tried(seq, AGAIN, 1, DELIVERED)]).collect(),
        }
    }

    fn has_letter(self) -> bool {
        self.expected().1 >= 9
    }

    fn waits(self, seq: u64) -> Option<(Delivery, Place)> {
        match self {
            Self::Pending => Some((of_event(seq, 0, 0), Place::Lane)),
            Self::Retrying => Some((of_event(seq, 0, 2), Place::Schedule)),
            Self::Parked => Some((of_event(seq, 0, 1), Place::Parked)),
            Self::Delivered => Some((of_event(seq, 0, 0), Place::Lane)),
            Self::ReplayedAndWaits => Some((of_event(seq, AGAIN, 0), Place::Lane)),
            Self::DeliveredLate | Self::Dead | Self::GivenUp | Self::ReplayedAndDelivered => None,
        }
    }
}

/// A message of DEAD.
enum Told {
    Letter(Box<DeadLetter>),
    Mark(Mark),
}

/// All that the streams have ever told.
struct Streams {
    outcomes: Vec<Attempt>,
    dead: Vec<Told>,
    waiting: Vec<(Delivery, Place)>,
}

impl Streams {
    /// What happened, step by step: all deliveries take their first step, then all their second.
    fn of(fates: &[(u64, Fate)]) -> Self {
        let all: Vec<Vec<Attempt>> = fates.iter().map(|(seq, fate)| fate.outcomes(*seq)).collect();
        let steps = all.iter().map(Vec::len).max().unwrap_or_default();
        let outcomes = (0..steps).flat_map(|step| all.iter().filter_map(move |one| one.get(step).cloned()));
        let mut dead = Vec::new();
        for (seq, fate) in fates.iter().filter(|(_, fate)| fate.has_letter()) {
            dead.push(Told::Letter(Box::new(letter(*seq, 0, DeadReason::Exhausted))));
            let did = match fate {
                Fate::GivenUp => Did::Discarded,
                Fate::ReplayedAndWaits | Fate::ReplayedAndDelivered => Did::Replayed,
                _ => continue,
            };
            dead.push(Told::Mark(Mark {
                act: "a".to_owned(),
                did,
                seqs: vec![dead.len() as u64],
                to: None,
                generation: AGAIN,
                at: Timestamp::from_secs(700),
            }));
        }
        Self {
            outcomes: outcomes.collect(),
            dead,
            waiting: fates.iter().filter_map(|(seq, fate)| fate.waits(*seq)).collect(),
        }
    }

    /// The database of a recorder that has read so much.
    async fn recorded(&self, outcomes: usize, dead: usize, folder: &std::path::Path) -> Store {
        let config = Config {
            url: String::new().into(),
            url_file: String::new(),
            connections_max: 2,
        };
        let store = Store::open(&config, folder).await.expect("a database");
        let mut batch = Batch::default();
        let now = Timestamp::from_secs(600);
        for attempt in &self.outcomes[..outcomes] {
            batch.record(Record::Attempt(attempt.clone()), now);
        }
        for (index, told) in self.dead[..dead].iter().enumerate() {
            match told {
                Told::Letter(letter) => batch.letter(index as u64 + 1, now, MADE, letter),
                Told::Mark(mark) => batch.mark(MADE, mark),
            }
        }
        let step = |stream: &str, seq: usize| Move {
            stream: stream.to_owned(),
            from: None,
            to: Position {
                incarnation: MADE,
                seq: seq as u64,
                at: now,
            },
        };
        let steps = [step(subjects::OUTCOMES, outcomes), step(subjects::DEAD, dead)];
        store.record(&batch, &steps).await.expect("it is written");
        store
    }
}

/// What a list shows, page after page.
async fn walk(
    streams: &Streams,
    store: &Store,
    (outcomes, dead): (usize, usize),
    word: Option<&str>,
    limit: usize,
) -> Vec<(Cursor, &'static str, u64)> {
    let org = org();
    let (mut shown, mut before) = (Vec::new(), None);
    loop {
        let filter = Filter::of_status(&org, word, before.clone());
        let wanted = Wanted::Of {
            org: &org,
            integration: None,
            provider: None,
        };
        let mut kept = Kept::new(&filter, wanted, 100);
        if let Some(wanted) = filter.recorded() {
            let page = store.deliveries(&wanted, filter.before.as_ref(), limit + 1).await;
            kept.recall_page(page.expect("a page"));
        }
        let wait = |kept: &mut Kept<'_>, take| {
            for (delivery, place) in &streams.waiting {
                kept.wait(delivery.clone(), *place, take);
            }
        };
        if filter.statuses.wait() {
            wait(&mut kept, Take::All);
        }
        for attempt in &streams.outcomes[outcomes..] {
            kept.record(attempt.clone(), Take::All);
        }
        let behind = || streams.dead.iter().enumerate().skip(dead);
        for (_, told) in behind() {
            if let Told::Mark(mark) = told {
                kept.mark(mark.clone());
            }
        }
        for (index, told) in behind() {
            if let Told::Letter(letter) = told {
                kept.bury(index as u64 + 1, DeadLetter::clone(letter), Take::All);
            }
        }
        if !filter.statuses.wait() {
            wait(&mut kept, Take::Known);
        }
        kept.settle();
        let states = |_: &str| State::default();
        assert!(!give_up(&mut kept, store).await.expect("rows"));
        look_up(&mut kept, store, limit, &states).await.expect("rows");
        let found = kept.found(limit + 1, states);
        let told = |story: &&Story| {
            let attempts = story.view(&State::default(), None).attempts.max(known_attempts(story));
            (place_of(story), story.status(&State::default()).0, attempts)
        };
        shown.extend(found.iter().take(limit).map(told));
        let next = if found.len() > limit {
            found.get(limit - 1).map(|last| place_of(last))
        } else {
            kept.goes_on()
        };
        match next {
            None => return shown,
            next => {
                assert!(before.is_none() || next < before, "a list goes on");
                before = next;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_split_between_the_database_and_the_streams_gives_the_same_pages(
        fates in prop::collection::vec(prop::sample::select(Fate::ALL.to_vec()), 1..25),
        split in (0.0..=1.0_f64, 0.0..=1.0_f64),
        limit in 1..8_usize,
    ) {
        let fates: Vec<(u64, Fate)> = (1..).zip(fates).collect();
        let streams = Streams::of(&fates);
        let part = |whole: usize, share: f64| (whole as f64 * share) as usize;
        let at = (part(streams.outcomes.len(), split.0), part(streams.dead.len(), split.1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        runtime.block_on(async {
            let store = streams.recorded(at.0, at.1, folder.path()).await;
            for word in [None].into_iter().chain(STATUSES.map(Some)) {
                let statuses = Filter::of_status(&org(), word, None).statuses;
                let mut expected: Vec<_> = fates
                    .iter()
                    .map(|(seq, fate)| {
                        let (status, attempts) = fate.expected();
                        let place = Cursor { created_at: accepted(*seq), id: of_event(*seq, 0, 0).id };
                        (place, status, attempts)
                    })
                    .filter(|(_, status, _)| statuses.take(status))
                    .collect();
                expected.sort_by(|one, other| other.0.cmp(&one.0));
                let shown = walk(&streams, &store, at, word, limit).await;
                let once: BTreeSet<_> = shown.iter().map(|(place, ..)| place).collect();
                prop_assert_eq!(once.len(), shown.len(), "{:?}: none is there twice", word);
                prop_assert_eq!(shown, expected, "{:?}, split at {:?}", word, at);
            }
            store.close().await;
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_digest_that_is_known_from_the_database_alone_names_its_members_and_its_letter() {
    let mut digest = tried(1, 0, 1, DEAD);
    digest.delivery = of_event(9, 0, 0).id;
    digest.events.extend(tried(2, 0, 1, DEAD).events);
    let streams = Streams {
        outcomes: vec![digest.clone()],
        dead: Vec::new(),
        waiting: Vec::new(),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let store = streams.recorded(1, 0, folder.path()).await;
    let org = org();
    let filter = Filter::of_status(&org, Some("dead"), None);
    let wanted = Wanted::Of {
        org: &org,
        integration: None,
        provider: None,
    };
    let mut kept = Kept::new(&filter, wanted, 100);
    let page = store.deliveries(&filter.recorded().expect("a filter"), None, 10).await;
    kept.recall_page(page.expect("a page"));
    let states = |_: &str| State::default();
    let (digests, letters) = lacking(&kept.found(10, states));
    assert_eq!(
        (&digests, &letters),
        (&vec![digest.delivery.clone()], &vec![digest.delivery.clone()])
    );
    kept.recall_members(store.members(&[&digest.delivery]).await.expect("members"));
    kept.recall_letter(&digest.delivery, 12);
    let (digests, _) = lacking(&kept.found(10, states));
    assert!(digests.is_empty());
    let found = kept.found(10, states);
    let shown = found[0].view(&State::default(), None);
    assert_eq!(shown.event_ids, Some(vec!["e-1".to_owned(), "e-2".to_owned()]));
    assert_eq!(
        (
            shown.event_type.as_deref(),
            shown.dead_letter_id.as_deref(),
            shown.created_at
        ),
        (Some("signalbox.digest"), Some("dl_12"), Some(accepted(1)))
    );
    store.close().await;
}
