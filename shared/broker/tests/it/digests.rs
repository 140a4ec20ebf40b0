//! Closing digests: whatever ends between two steps, every member is in one digest, and every copy of a digest has the
//! same members.

use std::collections::{BTreeMap, BTreeSet};

use signalbox_broker::{
    Broker, Error,
    digests::{Closing, Stage, Target},
    hops::Hop,
};
use signalbox_proto::{Delivery, Phase, State, Timestamp, delivery::digest_id, digest::Manifest, subjects, wire};

use crate::harness::{
    Cluster, config, connect, connect_with, delivery, eventually, org, provider, publish, ready_to_deliver,
};

const INTEGRATION: &str = "i1";
/// Steps that closing a digest takes.
const STEPS: usize = 5;

fn target() -> Target {
    Target {
        revision: 7,
        state: State::default(),
    }
}

/// Puts members into BATCH, and gives them with their sequences.
async fn gather(broker: &Broker, ids: &[&str]) -> Vec<(u64, Delivery)> {
    let mut members = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let mut member = delivery(id, INTEGRATION);
        member.events[0].seq = 1 + index as u64;
        let seq = broker.hop(&member, Hop::Batch).await.unwrap().seq;
        members.push((seq, member));
    }
    members
}

fn manifest(members: &[(u64, Delivery)]) -> Manifest {
    let (first, last) = (members.first().unwrap(), members.last().unwrap());
    Manifest {
        id: digest_id(&first.1.id, (first.0, last.0)),
        org: org(),
        integration: INTEGRATION.to_owned(),
        first: first.0,
        last: last.0,
        count: u32::try_from(members.len()).unwrap(),
        sent: false,
        way: None,
    }
}

async fn finish(broker: &Broker, mut closing: Closing) -> Result<(), Error> {
    while closing.stage() != Stage::Done {
        closing.step(broker, &target()).await?;
    }
    Ok(())
}

/// As a keeper that takes over: what was begun is resumed.
async fn take_over(broker: &Broker) {
    for found in broker.manifests().await.unwrap() {
        finish(broker, Closing::resume(found)).await.unwrap();
    }
}

/// The digests that are anywhere, each copy with the ids of its events.
async fn digests(broker: &Broker) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut found: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let lanes = subjects::deliver_stream(&provider());
    for (stream, filter) in [(lanes.as_str(), ">"), (subjects::PARKED, subjects::PARKED_ALL)] {
        // A server that has just come back does not answer yet.
        let all = eventually("a stream that can be read", async || {
            let mut all = Vec::new();
            let read = broker.scan_queue(stream, filter, |stored| all.push(stored)).await;
            read.ok().map(|()| all)
        })
        .await;
        for stored in all {
            let digest = wire::decode_delivery(&stored.body).unwrap();
            assert!(digest.digest);
            assert_eq!((digest.revision, digest.generation, digest.hop), (7, 0, 0));
            let ids = digest.events.iter().map(|one| one.event.id.clone()).collect();
            found.entry(digest.id).or_default().push(ids);
        }
    }
    found
}

async fn left(broker: &Broker) -> u64 {
    broker.stream_state(subjects::BATCH).await.unwrap().messages
}

fn texts(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn a_keeper_that_ends_between_any_two_steps_leaves_what_the_next_one_finishes() {
    let (server, broker) = ready_to_deliver().await;
    for steps in 0..=STEPS {
        for removed in [0, 1] {
            broker
                .purge(&subjects::deliver_stream(&provider()), None, None)
                .await
                .unwrap();
            let ids: Vec<String> = ["a", "b", "c"].map(|id| format!("{id}{steps}{removed}")).to_vec();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let members = gather(&broker, &ids).await;
            let mut closing = Closing::begin(manifest(&members));
            for _ in 0..steps {
                closing.step(&broker, &target()).await.unwrap();
            }
            // It may have removed some of the members before it ended.
            if closing.stage() == Stage::Remove {
                for (seq, _) in &members[..removed] {
                    broker.remove(subjects::BATCH, *seq).await.unwrap();
                }
            }
            drop(closing);
            // More came meanwhile: they are none of its members.
            let later = gather(&broker, &[&format!("later{steps}{removed}")]).await;
            let next = connect(&server.url()).await;
            take_over(&next).await;
            if steps == 0 {
                // Nothing was begun: the next keeper closes what is there by itself.
                finish(&next, Closing::begin(manifest(&members))).await.unwrap();
            }
            let wanted = BTreeMap::from([(manifest(&members).id, vec![texts(&ids)])]);
            assert_eq!(digests(&next).await, wanted, "after {steps} steps");
            assert_eq!(left(&next).await, 1, "after {steps} steps");
            assert!(next.manifest(INTEGRATION).await.unwrap().is_none());
            broker.remove(subjects::BATCH, later[0].0).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_old_keeper_that_wakes_up_changes_nothing() {
    let (server, broker) = ready_to_deliver().await;
    for asleep_after in 0..STEPS {
        broker
            .purge(&subjects::deliver_stream(&provider()), None, None)
            .await
            .unwrap();
        let ids: Vec<String> = ["a", "b", "c", "d"].map(|id| format!("{id}{asleep_after}")).to_vec();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let members = gather(&broker, &ids[..3]).await;
        let mut old = Closing::begin(manifest(&members));
        for _ in 0..asleep_after {
            old.step(&broker, &target()).await.unwrap();
        }
        // Another keeper takes over, and closes what it finds: one more has come, so it would fix other members.
        let mut all = members.clone();
        all.extend(gather(&broker, &ids[3..]).await);
        let next = connect(&server.url()).await;
        take_over(&next).await;
        let rest = if asleep_after == 0 { &all[..] } else { &all[3..] };
        finish(&next, Closing::begin(manifest(rest))).await.unwrap();
        let before = digests(&next).await;
        // The old one goes on with what it knew.
        match finish(&broker, old).await {
            Ok(()) | Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("after {asleep_after} steps: {error}"),
        }
        assert_eq!(digests(&next).await, before, "after {asleep_after} steps");
        let events: Vec<&String> = before.values().flatten().flatten().collect();
        let once: BTreeSet<&String> = events.iter().copied().collect();
        assert_eq!(
            (events.len(), once.len()),
            (4, 4),
            "after {asleep_after} steps: {before:?}"
        );
        assert_eq!(left(&next).await, 0);
        assert!(next.manifest(INTEGRATION).await.unwrap().is_none());
    }
}

/// Reads may come from a server that is behind; the leader is asked where something seems to be missing.
#[tokio::test(flavor = "multi_thread")]
async fn on_three_servers_a_digest_closes_while_one_of_them_is_killed() {
    let mut cluster = Cluster::start().await;
    let mut config = config(&cluster.url());
    config.replicas = 3;
    let broker = connect_with(config).await;
    eventually("a cluster with streams", async || broker.ensure_streams().await.ok()).await;
    eventually("a provider's stream", async || {
        broker.ensure_provider(&provider()).await.ok()
    })
    .await;
    for (round, killed) in [None, Some(0), Some(1)].into_iter().enumerate() {
        let ids: Vec<String> = (0..20).map(|number| format!("{round}-{number}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let members = gather(&broker, &ids).await;
        let mut closing = Closing::begin(manifest(&members));
        eventually("its members are fixed", async || {
            closing.step(&broker, &target()).await.ok()
        })
        .await;
        if let Some(server) = killed {
            cluster.servers[server].kill().await;
        }
        // As a keeper does: what fails is begun anew by whoever finds the manifest.
        eventually("it is closed", async || {
            let found = broker.manifests().await.ok()?;
            for found in found {
                finish(&broker, Closing::resume(found)).await.ok()?;
            }
            broker.manifest(INTEGRATION).await.ok()?.is_none().then_some(())
        })
        .await;
        if let Some(server) = killed {
            cluster.servers[server].restart().await;
        }
        eventually("BATCH is empty", async || {
            let state = broker.stream_state(subjects::BATCH).await.ok()?;
            (state.messages == 0).then_some(())
        })
        .await;
        let found = eventually("the digests", async || {
            let found = digests(&broker).await;
            (found.len() == round + 1).then_some(found)
        })
        .await;
        assert_eq!(found[&manifest(&members).id], [texts(&ids)]);
    }
}

/// The message id of a digest is known for two minutes. Whoever publishes it after that publishes the same.
#[tokio::test]
async fn a_copy_that_the_server_no_longer_knows_has_the_same_members() {
    let (mut server, broker) = ready_to_deliver().await;
    let members = gather(&broker, &["a", "b"]).await;
    let mut closing = Closing::begin(manifest(&members));
    while closing.stage() != Stage::Mark {
        closing.step(&broker, &target()).await.unwrap();
    }
    // A server that starts anew knows no ids of what has been consumed.
    let lanes = subjects::deliver_stream(&provider());
    let first = digests(&broker).await;
    broker.purge(&lanes, None, None).await.unwrap();
    server.kill().await;
    server.restart().await;
    let next = connect(&server.url()).await;
    take_over(&next).await;
    assert_eq!(digests(&next).await, first);
    assert_eq!(left(&next).await, 0);
}

#[tokio::test]
async fn members_that_a_person_gave_up_are_no_proof_that_the_digest_was_sent() {
    let (_server, broker) = ready_to_deliver().await;
    let members = gather(&broker, &["a", "b", "c"]).await;
    let mut closing = Closing::begin(manifest(&members));
    closing.step(&broker, &target()).await.unwrap();
    broker.remove(subjects::BATCH, members[1].0).await.unwrap();
    finish(&broker, closing).await.unwrap();
    let found = digests(&broker).await;
    assert_eq!(found.into_values().collect::<Vec<_>>(), [vec![texts(&["a", "c"])]]);
    // All of them.
    let members = gather(&broker, &["d", "e"]).await;
    let mut closing = Closing::begin(manifest(&members));
    closing.step(&broker, &target()).await.unwrap();
    for (seq, _) in &members {
        broker.remove(subjects::BATCH, *seq).await.unwrap();
    }
    finish(&broker, closing).await.unwrap();
    assert_eq!(digests(&broker).await.len(), 1, "a digest of nothing is none");
    assert!(broker.manifest(INTEGRATION).await.unwrap().is_none());
}

#[tokio::test]
async fn the_digest_of_a_held_integration_waits_behind_its_gate() {
    let (_server, broker) = ready_to_deliver().await;
    let held = broker.pause(INTEGRATION, "by hand", Timestamp::now()).await.unwrap();
    assert_eq!(held.phase, Phase::Paused);
    let members = gather(&broker, &["a"]).await;
    let mut closing = Closing::begin(manifest(&members));
    let target = Target {
        revision: 7,
        state: held,
    };
    while closing.stage() != Stage::Done {
        closing.step(&broker, &target).await.unwrap();
    }
    assert_eq!(broker.in_parked(&org(), INTEGRATION).await.unwrap(), 1);
    assert_eq!(left(&broker).await, 0);
}

#[tokio::test]
async fn a_digest_whose_keeper_ended_before_the_mark_goes_the_same_way_though_its_integration_was_held_or_let_go() {
    let (_server, broker) = ready_to_deliver().await;
    let paused = broker.pause(INTEGRATION, "by hand", Timestamp::now()).await.unwrap();
    let with = |state: &State| Target {
        revision: 7,
        state: state.clone(),
    };
    for (id, first, then) in [("a", State::default(), &paused), ("b", paused.clone(), &paused)] {
        let members = gather(&broker, &[id]).await;
        let mut closing = Closing::begin(manifest(&members));
        while closing.stage() != Stage::Mark {
            closing.step(&broker, &with(&first)).await.unwrap();
        }
        drop(closing);
        let mut next = Closing::resume(broker.manifest(INTEGRATION).await.unwrap().unwrap());
        while next.stage() != Stage::Done {
            next.step(&broker, &with(then)).await.unwrap();
        }
    }
    let copies: Vec<usize> = digests(&broker).await.values().map(Vec::len).collect();
    assert_eq!(copies, [1, 1], "each in one place");
    assert_eq!(broker.in_parked(&org(), INTEGRATION).await.unwrap(), 1);
}

#[tokio::test]
async fn a_member_that_cannot_be_read_is_a_dead_letter_and_keeps_none_of_the_others() {
    let (_server, broker) = ready_to_deliver().await;
    let mut members = gather(&broker, &["a", "b"]).await;
    let subject = subjects::batch(&org(), INTEGRATION);
    let sent = broker.publisher().publish(publish(&subject, None, "no delivery")).await;
    members.push((sent.unwrap().seq, members[0].1.clone()));
    finish(&broker, Closing::begin(manifest(&members))).await.unwrap();
    let found = digests(&broker).await;
    assert_eq!(found.into_values().collect::<Vec<_>>(), [vec![texts(&["a", "b"])]]);
    assert_eq!(broker.stream_state(subjects::DEAD).await.unwrap().messages, 1);
    assert_eq!(left(&broker).await, 0);
}
