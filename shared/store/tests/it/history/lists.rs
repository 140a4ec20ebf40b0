//! Pages of deliveries.

use signalbox_proto::{Attempt, ledger::Final, outcome::Next};
use signalbox_store::{
    Store,
    history::{DeliveryFilter, LOOKED_AT_MAX, Status},
};

use super::records::{attempts, delivered, failed, owed, record};
use crate::{
    harness::on_each,
    samples::{at, name},
};

/// The events of a list's deliveries, page after page, and how many pages.
async fn walk(store: &Store, filter: &DeliveryFilter, limit: usize) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let page = store.deliveries(filter, after.as_ref(), limit).await.unwrap();
        assert!(page.items.len() <= limit);
        pages += 1;
        ids.extend(page.items.into_iter().map(|row| row.about().event_id.clone()));
        match page.next {
            None => return (ids, pages),
            next => {
                assert!(after.is_none() || next < after, "a list goes on");
                after = next;
            }
        }
    }
}

fn of(org: &str) -> DeliveryFilter {
    DeliveryFilter {
        org: Some(org.to_owned()),
        ..DeliveryFilter::default()
    }
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("event-{number}")).collect()
}

#[tokio::test]
async fn each_filter_finds_what_it_is_about_the_newest_first() {
    on_each(async |store| {
        let other = owed(Attempt {
            org: name("other"),
            integration: "integration-2".to_owned(),
            ..delivered(5)
        });
        let slack = owed(Attempt {
            provider: name("slack"),
            integration: "integration-3".to_owned(),
            ..failed(4, 1)
        });
        let mut typed = Attempt {
            next: Next::Final(Final::Dead),
            ..failed(3, 1)
        };
        typed.events[0].event_type = "c.d".parse().unwrap();
        let parked = Attempt {
            next: Next::Parked,
            ..failed(2, 1)
        };
        record(&store, &attempts([delivered(1), parked, typed, slack, other])).await;
        let check = async |what: &str, filter: DeliveryFilter, expected: &[u64]| {
            for limit in [1, 2, 50] {
                let (found, _) = walk(&store, &filter, limit).await;
                assert_eq!(found, ids(expected.iter().copied()), "{what}, {limit} a page");
            }
        };
        let statuses = |statuses: &[Status]| DeliveryFilter {
            statuses: statuses.to_vec(),
            ..of("acme")
        };
        check("all", DeliveryFilter::default(), &[5, 4, 3, 2, 1]).await;
        check("an org", of("acme"), &[4, 3, 2, 1]).await;
        check("one status", statuses(&[Status::Dead]), &[3]).await;
        check("what waits", statuses(&[Status::Retrying, Status::Parked]), &[4, 2]).await;
        check("with delivered", statuses(&[Status::Delivered, Status::Dead]), &[3, 1]).await;
        let all_dead = DeliveryFilter {
            org: None,
            ..statuses(&[Status::Dead])
        };
        check("a status of all orgs", all_dead, &[3]).await;
        let integration = DeliveryFilter {
            integration: Some("integration-1".to_owned()),
            ..of("acme")
        };
        check("an integration", integration.clone(), &[3, 2, 1]).await;
        let foreign = DeliveryFilter {
            org: Some("other".to_owned()),
            ..integration.clone()
        };
        check("an integration of another org", foreign, &[]).await;
        let waiting = DeliveryFilter {
            statuses: vec![Status::Parked],
            ..integration
        };
        check("a status of an integration", waiting, &[2]).await;
        let event_type = DeliveryFilter {
            event_type: Some("c.d".to_owned()),
            ..of("acme")
        };
        check("an event type", event_type, &[3]).await;
        let provider = DeliveryFilter {
            provider: Some("slack".to_owned()),
            ..of("acme")
        };
        check("a provider", provider, &[4]).await;
        let span = DeliveryFilter {
            since: Some(at(2)),
            until: Some(at(4)),
            ..DeliveryFilter::default()
        };
        check("a range of time", span, &[3, 2]).await;
    })
    .await;
}

#[tokio::test]
async fn a_page_looks_at_so_many_rows_and_says_where_to_go_on() {
    on_each(async |store| {
        let all = LOOKED_AT_MAX * 2 + 100;
        let rare = [3, LOOKED_AT_MAX + 7, all];
        for first in (1..=all).step_by(2_000) {
            let part = (first..(first + 2_000).min(all + 1)).map(|number| Attempt {
                provider: name(if rare.contains(&number) { "slack" } else { "webhook" }),
                ..delivered(number)
            });
            record(&store, &attempts(part)).await;
        }
        let filter = DeliveryFilter {
            provider: Some("slack".to_owned()),
            ..of("acme")
        };
        let (found, pages) = walk(&store, &filter, 50).await;
        assert_eq!(found, ids([all, LOOKED_AT_MAX + 7, 3]));
        assert_eq!(pages, 3);
    })
    .await;
}

#[tokio::test]
async fn a_list_neither_repeats_nor_passes_by_while_more_is_recorded() {
    on_each(async |store| {
        // Several of one moment too: the fan-out of an event.
        let number = |index: u64| 1_000 + index * 2;
        let moment = |index: u64| {
            let mut attempt = delivered(number(index));
            attempt.events[0].accepted_at = at((index / 7) as i64);
            attempt
        };
        record(&store, &attempts((0..200).map(moment))).await;
        let mut expected: Vec<_> = (0..200).map(|index| (index / 7, moment(index).delivery)).collect();
        expected.sort_unstable_by(|one, other| other.cmp(one));
        let (mut seen, mut after, mut round) = (Vec::new(), None, 0_u64);
        loop {
            let page = store.deliveries(&of("acme"), after.as_ref(), 9).await.unwrap();
            seen.extend(page.items.into_iter().map(|row| row.id));
            after = page.next;
            if after.is_none() {
                break;
            }
            // Newer ones, and of those that are listed some stand otherwise.
            let changed = Attempt {
                attempt: 2,
                ..moment(round % 200)
            };
            record(&store, &attempts([delivered(5_001 + round * 2), changed])).await;
            round += 1;
        }
        assert_eq!(seen, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    })
    .await;
}

/// What waits stands otherwise a moment later, and so leaves the piece of an index that a page looks at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_passes_nothing_by_while_what_it_looks_at_leaves() {
    const ALL: u64 = LOOKED_AT_MAX * 2;
    const WALKS: usize = 24;
    on_each(async |store| {
        let is_wanted = |number: u64| number.is_multiple_of(50);
        let parked = |number| {
            owed(Attempt {
                provider: name(if is_wanted(number) { "slack" } else { "webhook" }),
                next: Next::Parked,
                ..failed(number, 1)
            })
        };
        for first in (1..=ALL).step_by(2_000) {
            record(&store, &attempts((first..first + 2_000).map(parked))).await;
        }
        let others: Vec<u64> = (1..=ALL).filter(|number| !is_wanted(*number)).collect();
        let leaving = async {
            // Of all places, some at a time; and back, so that there is always more to leave.
            for (round, part) in (0_u32..).zip(others.chunks(97).cycle()) {
                let gone = |number: &u64| Attempt {
                    generation: round + 1,
                    provider: name("webhook"),
                    ..delivered(*number)
                };
                let back = |number: &u64| Attempt {
                    generation: round + 2,
                    ..parked(*number)
                };
                record(&store, &attempts(part.iter().map(gone))).await;
                record(&store, &attempts(part.iter().map(back))).await;
                tokio::task::yield_now().await;
            }
        };
        let walking = async {
            let filter = DeliveryFilter {
                provider: Some("slack".to_owned()),
                statuses: vec![Status::Parked, Status::Retrying],
                ..of("acme")
            };
            let expected = ids((1..=ALL).rev().filter(|number| is_wanted(*number)));
            for walked in 0..WALKS {
                let (found, _) = walk(&store, &filter, 200).await;
                assert_eq!(found, expected, "walk {walked}");
            }
        };
        tokio::select! {
            () = walking => {}
            () = leaving => {}
        }
    })
    .await;
}
