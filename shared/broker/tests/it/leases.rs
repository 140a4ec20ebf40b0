//! Leases and counters.

use std::time::Duration;

use futures::future::join_all;
use signalbox_broker::counter::Window;

use crate::harness::{Proxy, connect, eventually, ready};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_lease_has_one_holder() {
    let (_server, broker) = ready().await;
    let names: Vec<String> = (0..20).map(|number| format!("h{number}")).collect();
    let taken = join_all(names.iter().map(|name| broker.acquire("duty", name, 10 * SECOND))).await;
    let holders = taken.iter().filter(|lease| matches!(lease, Ok(Some(_)))).count();
    assert_eq!(holders, 1);
    assert!(taken.iter().all(Result::is_ok));
    assert!(broker.acquire("another", "h0", 10 * SECOND).await.unwrap().is_some());
}

#[tokio::test]
async fn a_lease_runs_out_and_is_taken_over_and_the_stale_holder_learns_it() {
    let (_server, broker) = ready().await;
    let mut old = broker.acquire("duty", "old", SECOND).await.unwrap().unwrap();
    assert!(broker.acquire("duty", "new", SECOND).await.unwrap().is_none());
    let mut new = eventually("the end of the lease", async || {
        broker.acquire("duty", "new", 5 * SECOND).await.unwrap()
    })
    .await;
    assert!(!broker.renew(&mut old).await.unwrap());
    assert!(broker.renew(&mut new).await.unwrap());
    // Giving back what was lost takes nothing from its holder.
    broker.release(old).await.unwrap();
    assert!(broker.renew(&mut new).await.unwrap());
}

#[tokio::test]
async fn a_renewed_lease_is_kept() {
    let (_server, broker) = ready().await;
    let mut lease = broker.acquire("duty", "one", SECOND).await.unwrap().unwrap();
    for _ in 0..7 {
        tokio::time::sleep(SECOND / 3).await;
        assert!(broker.acquire("duty", "two", SECOND).await.unwrap().is_none());
        assert!(broker.renew(&mut lease).await.unwrap());
    }
}

#[tokio::test]
async fn a_released_lease_is_free_at_once_and_again() {
    let (_server, broker) = ready().await;
    for round in 0..5 {
        let lease = broker
            .acquire("duty", &format!("h{round}"), 10 * SECOND)
            .await
            .unwrap()
            .expect("free");
        assert!(broker.acquire("duty", "other", 10 * SECOND).await.unwrap().is_none());
        broker.release(lease).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_whose_answer_a_cut_loses_is_not_taken_for_anothers() {
    let (server, _direct) = ready().await;
    let proxy = Proxy::start(server.port).await;
    let broker = connect(&proxy.url()).await;
    let mut lease = broker.acquire("duty", "one", 30 * SECOND).await.unwrap().unwrap();
    let cutting = async {
        for _ in 0..8 {
            proxy.drop_connections();
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
        true
    };
    let renewing = async {
        let mut renewals = 0;
        loop {
            assert!(
                broker.renew(&mut lease).await.unwrap(),
                "lost after {renewals} renewals"
            );
            renewals += 1;
        }
    };
    tokio::select! {
        cut = cutting => assert!(cut),
        () = renewing => {}
    }
}

#[tokio::test]
async fn every_adder_learns_a_sum_of_its_own_and_windows_are_separate() {
    let (_server, broker) = ready().await;
    for window in [Window::Minute, Window::Hour, Window::Day] {
        let mut sums: Vec<i64> = join_all((0..200).map(|_| broker.count(window, "i1", 7, 3)))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        sums.sort_unstable();
        assert_eq!(sums, (1..=200).map(|n| n * 3).collect::<Vec<i64>>());
        assert_eq!(
            broker.count(window, "i1", 7, -100).await.unwrap(),
            500,
            "tokens are given back"
        );
        assert_eq!(broker.count(window, "i1", 8, 1).await.unwrap(), 1);
        assert_eq!(broker.count(window, "i2", 7, 1).await.unwrap(), 1);
        assert_eq!(broker.count(window, "i1", 7, 0).await.unwrap(), 500);
    }
}
