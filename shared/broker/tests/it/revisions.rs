//! Copies of what SQL holds: none goes back to a lower revision, whoever puts it, and however late.

use futures::future::join_all;
use signalbox_broker::{
    Broker,
    revisions::{Held, Put},
};
use signalbox_proto::{Org, org::OrgStatus, subjects};

use crate::harness::ready;

const KEY: &str = "org.acme";

fn org(revision: u64) -> Org {
    Org {
        name: "acme".parse().unwrap(),
        status: OrgStatus::Active,
        revision,
    }
}

async fn put(broker: &Broker, revision: u64) -> Put {
    broker
        .put_newer(subjects::CONFIG, KEY, &org(revision), revision)
        .await
        .unwrap()
}

async fn remove(broker: &Broker, revision: u64) -> Put {
    broker.remove_older(subjects::CONFIG, KEY, revision).await.unwrap()
}

async fn held(broker: &Broker) -> Option<u64> {
    let entry = broker.get::<Org>(subjects::CONFIG, KEY).await.unwrap();
    entry.map(|entry| entry.value.revision)
}

#[tokio::test]
async fn what_is_as_new_or_newer_stays_also_when_it_was_removed() {
    let (_server, broker) = ready().await;
    let known = |revision| Put::Known { revision };
    assert_eq!(put(&broker, 2).await, Put::Written);
    assert_eq!(put(&broker, 1).await, known(2));
    assert_eq!(put(&broker, 2).await, known(2));
    assert_eq!(remove(&broker, 1).await, known(2));
    assert_eq!(put(&broker, 4).await, Put::Written);
    assert_eq!(held(&broker).await, Some(4));

    assert_eq!(remove(&broker, 5).await, Put::Written);
    assert_eq!(held(&broker).await, None);
    assert_eq!(put(&broker, 4).await, known(5), "a late put brings nothing back");
    assert_eq!(remove(&broker, 5).await, known(5));
    let all = broker.held(subjects::CONFIG, "org.*").await.unwrap();
    let gone = Held {
        revision: 5,
        is_gone: true,
    };
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [(KEY.to_owned(), gone)]);
    assert_eq!(put(&broker, 6).await, Put::Written);
    assert_eq!(held(&broker).await, Some(6));

    // What was never there is marked too.
    let other = "org.other";
    let removed = broker.remove_older(subjects::CONFIG, other, 3).await.unwrap();
    let late = broker.put_newer(subjects::CONFIG, other, &org(2), 2).await.unwrap();
    assert_eq!((removed, late), (Put::Written, known(3)));
}

#[tokio::test]
async fn what_an_older_version_wrote_or_removed_counts_as_older() {
    let (_server, broker) = ready().await;
    broker.put(subjects::CONFIG, KEY, &"no revision").await.unwrap();
    assert_eq!(put(&broker, 1).await, Put::Written);
    broker.delete(subjects::CONFIG, KEY).await.unwrap();
    assert_eq!(
        broker.held(subjects::CONFIG, "org.*").await.unwrap()[KEY],
        Held {
            revision: 0,
            is_gone: true
        }
    );
    assert_eq!(put(&broker, 1).await, Put::Written);
    broker.delete(subjects::CONFIG, KEY).await.unwrap();
    assert_eq!(put(&broker, 0).await, Put::Written);
    assert_eq!(put(&broker, 0).await, Put::Known { revision: 0 });
    assert_eq!(remove(&broker, 0).await, Put::Written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_put_at_once_the_newest_stays() {
    let (_server, broker) = ready().await;
    let puts = (1..=40_u64).map(|number| {
        let broker = broker.clone();
        // Not in the order of their revisions, and each of them twice.
        let revision = number * 7 % 20 + 1;
        tokio::spawn(async move {
            loop {
                let put = broker.put_newer(subjects::CONFIG, KEY, &org(revision), revision).await;
                match put {
                    Ok(put) => return (revision, put),
                    // Others wrote in between again and again, as the outbox finds it too.
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
            }
        })
    });
    let mut written = 0;
    for done in join_all(puts).await {
        match done.unwrap() {
            (_, Put::Written) => written += 1,
            (revision, Put::Known { revision: known }) => assert!(known >= revision, "{known} for {revision}"),
        }
    }
    assert_eq!(held(&broker).await, Some(20));
    assert!((1..=20).contains(&written), "{written}");
}
