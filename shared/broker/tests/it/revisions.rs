//! Copies of what SQL holds: none goes back to a lower revision, whoever puts it, and however late.

use futures::future::join_all;
use serde_json::json;
use signalbox_broker::{
    Broker,
    revisions::{Copied, Held, Put},
};
use signalbox_proto::{Org, org::OrgStatus, subjects, told::Told as _};

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
async fn of_equal_revisions_what_says_something_else_stays_and_is_said() {
    let (_server, broker) = ready().await;
    let other = Org {
        status: OrgStatus::Erased,
        ..org(3)
    };
    broker.put(subjects::CONFIG, KEY, &other).await.unwrap();
    let differs = Put::Differs { revision: 3 };
    assert_eq!(put(&broker, 3).await, differs);
    assert_eq!(remove(&broker, 3).await, differs, "what lives here is not removed");
    assert_eq!(put(&broker, 2).await, Put::Known { revision: 3 });
    let there = broker.get::<Org>(subjects::CONFIG, KEY).await.unwrap().unwrap();
    assert_eq!(there.value, other);
    assert_eq!(put(&broker, 4).await, Put::Written);
    assert_eq!(put(&broker, 4).await, Put::Known { revision: 4 }, "told again");

    // Removed at a revision at which it lives elsewhere.
    assert_eq!(remove(&broker, 5).await, Put::Written);
    assert_eq!(put(&broker, 5).await, Put::Differs { revision: 5 });
    assert_eq!(held(&broker).await, None);
    // What nobody can read says something else.
    let unreadable = json!({ "name": 7, "revision": 9 });
    broker.put(subjects::CONFIG, KEY, &unreadable).await.unwrap();
    assert_eq!(put(&broker, 9).await, Put::Differs { revision: 9 });
}

#[tokio::test]
async fn what_another_version_wrote_of_the_same_says_the_same() {
    let (_server, broker) = ready().await;
    let content = async || {
        let all = broker.copies::<Org>(subjects::CONFIG, "org.*").await.unwrap();
        all[KEY]
    };
    let same = Copied {
        held: Held {
            revision: 3,
            is_gone: false,
        },
        content: Some(org(3).content().unwrap()),
    };
    for bytes_of_another in [
        json!({ "revision": 3, "status": "active", "name": "acme" }),
        json!({ "name": "acme", "status": "active", "revision": 3, "of_a_newer": [1, 2] }),
    ] {
        broker.put(subjects::CONFIG, KEY, &bytes_of_another).await.unwrap();
        assert_eq!(put(&broker, 3).await, Put::Known { revision: 3 }, "{bytes_of_another}");
        assert_eq!(content().await, same, "{bytes_of_another}");
    }
    let other = json!({ "name": "acme", "status": "erasing", "revision": 3 });
    broker.put(subjects::CONFIG, KEY, &other).await.unwrap();
    let copied = content().await;
    assert_eq!(copied.held, same.held);
    assert_ne!(copied.content, same.content);
    // Fields that a version did not know yet count as their defaults.
    broker
        .put(subjects::CONFIG, KEY, &json!({ "name": "acme", "status": "active" }))
        .await
        .unwrap();
    assert_eq!(put(&broker, 0).await, Put::Known { revision: 0 });
    assert_eq!(content().await.content, Some(org(0).content().unwrap()));
    remove(&broker, 4).await;
    assert_eq!(content().await.content, None);
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
            (revision, Put::Differs { .. }) => panic!("{revision} is told twice and says the same"),
        }
    }
    assert_eq!(held(&broker).await, Some(20));
    assert!((1..=20).contains(&written), "{written}");
}
