use std::{future::poll_fn, time::Duration};

use super::*;

type Numbers = Arc<Pool<u32>>;

fn key(integration: &str) -> Key {
    Key {
        integration: integration.to_owned(),
        settings: [0; 32],
    }
}

/// A place, if it is had at once.
async fn at_once(pool: &Numbers, integration: &str) -> Option<Place<u32>> {
    let key = key(integration);
    let mut place = Box::pin(pool.place(&key));
    poll_fn(|context| {
        std::task::Poll::Ready(match place.as_mut().poll(context) {
            std::task::Poll::Ready(place) => Some(place),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// Lets the idle connections of an integration be older.
fn age(pool: &Numbers, integration: &str, by: Duration) {
    let mut state = pool.state();
    for idle in &mut state.lines.get_mut(&key(integration)).expect("a line").idle {
        idle.since -= by;
    }
}

/// As many as an integration gets.
async fn all(pool: &Numbers, integration: &str) -> Vec<Place<u32>> {
    let mut places = Vec::new();
    while let Some(place) = at_once(pool, integration).await {
        places.push(place);
    }
    places
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_own_integration_and_settings_alone() {
    let pool = Pool::new();
    let mut first = pool.place(&key("a")).await;
    assert_eq!(first.take(), None);
    first.keep(7);
    let other = Key {
        settings: [1; 32],
        ..key("a")
    };
    assert_eq!(pool.place(&other).await.take(), None);
    assert_eq!(pool.place(&key("b")).await.take(), None);
    assert_eq!(pool.place(&key("a")).await.take(), Some(7));
    assert_eq!((pool.used(), pool.idle()), (0, 0), "it was not kept a second time");
    // One that was not used for want of time is there for the next.
    pool.place(&key("a")).await.keep(8);
    drop(pool.place(&key("a")).await);
    assert_eq!(pool.place(&key("a")).await.take(), Some(8));
}

#[tokio::test]
async fn no_integration_gets_all_and_some_are_always_left() {
    let pool = Pool::new();
    let mut held = Vec::new();
    let mut counts = Vec::new();
    for integration in 0..10 {
        let places = all(&pool, &integration.to_string()).await;
        counts.push(places.len());
        held.extend(places);
    }
    // Each has at most as many as are left.
    assert_eq!(counts, [16, 16, 16, 8, 4, 2, 1, 1, 0, 0]);
    assert_eq!(pool.used(), CONNECTIONS_MAX);
    drop(held);
    assert_eq!(pool.used(), 0);
    assert_eq!(pool.state().lines.len(), 0);
}

#[tokio::test]
async fn whoever_waits_is_called_in_order_and_whoever_has_given_up_is_passed_by() {
    let pool = Pool::new();
    let mut held = all(&pool, "a").await;
    assert_eq!(held.len(), INTEGRATION_MAX);
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for number in 0..3 {
        let (pool, said) = (pool.clone(), said.clone());
        tasks.push(tokio::spawn(async move {
            let mut place = pool.place(&key("a")).await;
            said.send((number, place.take())).expect("the test listens");
            std::future::pending::<()>().await;
        }));
        tokio::task::yield_now().await;
    }
    // Others do not wait for it.
    assert!(at_once(&pool, "b").await.is_some());
    tasks[0].abort();
    tokio::task::yield_now().await;
    held.remove(0).keep(7);
    assert_eq!(heard.recv().await, Some((1, Some(7))));
    // One that was called and is gone before it hears of it leaves the place to the next.
    tasks[1].abort();
    assert_eq!(heard.recv().await, Some((2, None)));
    assert_eq!(pool.used(), INTEGRATION_MAX);
    tasks[2].abort();
    drop(held);
    tokio::task::yield_now().await;
    assert_eq!(pool.used(), 0);
}

#[tokio::test]
async fn a_call_that_nobody_hears_any_more_goes_to_the_next() {
    let pool = Pool::new();
    let mut held = all(&pool, "a").await;
    let key = key("a");
    let (mut first, mut second) = (Box::pin(pool.place(&key)), Box::pin(pool.place(&key)));
    poll_fn(|context| {
        assert!(first.as_mut().poll(context).is_pending() && second.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    // The first is called by this, and gives up before it looks.
    held.remove(0);
    drop(first);
    second.await;
    assert_eq!(pool.used(), INTEGRATION_MAX - 1);
}

#[tokio::test]
async fn what_has_been_idle_for_longest_is_closed_where_a_place_is_needed() {
    let pool = Pool::new();
    for number in 0..64 {
        pool.place(&key(&number.to_string())).await.keep(number);
        age(
            &pool,
            &number.to_string(),
            Duration::from_secs(10) - Duration::from_millis(number.into()),
        );
    }
    assert_eq!((pool.used(), pool.idle()), (0, CONNECTIONS_MAX));
    let new = pool.place(&key("new")).await;
    assert_eq!((pool.used(), pool.idle()), (1, CONNECTIONS_MAX - 1));
    assert_eq!(pool.place(&key("1")).await.take(), Some(1));
    // In the place of that which was closed first.
    let again = pool.place(&key("0")).await.take();
    assert_eq!((again, pool.idle()), (None, CONNECTIONS_MAX - 2));
    new.keep(64);
    assert_eq!(pool.place(&key("new")).await.take(), Some(64));
}

#[tokio::test]
async fn what_is_idle_for_too_long_is_closed_and_forgotten() {
    let pool = Pool::new();
    pool.place(&key("a")).await.keep(7);
    age(&pool, "a", IDLE_TIMEOUT / 2);
    assert!(pool.close_idle());
    assert_eq!(pool.idle(), 1, "it is young");
    age(&pool, "a", IDLE_TIMEOUT / 2);
    let used = pool.place(&key("b")).await;
    assert!(pool.close_idle(), "somebody has a place");
    assert_eq!(pool.idle(), 0);
    drop(used);
    assert!(!pool.close_idle());
    assert!(pool.state().lines.is_empty());
    // Nobody need have looked for it not to be used again.
    pool.place(&key("a")).await.keep(8);
    age(&pool, "a", IDLE_TIMEOUT);
    assert_eq!(pool.place(&key("a")).await.take(), None);
}

#[tokio::test]
async fn those_of_one_integration_can_be_closed_alone() {
    let pool = Pool::new();
    let used = pool.place(&key("a")).await;
    for (integration, number) in [("a", 1), ("b", 2)] {
        pool.place(&key(integration)).await.keep(number);
    }
    pool.close(&key("a"));
    pool.close(&key("c"));
    assert_eq!((pool.used(), pool.idle()), (1, 1));
    assert_eq!(pool.place(&key("a")).await.take(), None);
    assert_eq!(pool.place(&key("b")).await.take(), Some(2));
    drop(used);
    pool.place(&key("a")).await.keep(3);
    pool.close(&key("a"));
    assert!(pool.state().lines.is_empty());
}

#[tokio::test]
async fn the_server_that_was_tried_last_is_remembered_without_a_connection() {
    let pool: Numbers = Pool::new();
    let place = pool.place(&key("a")).await;
    assert_eq!(place.server(), 0);
    place.tries(3);
    drop(place);
    assert_eq!(pool.place(&key("a")).await.server(), 3);
    assert_eq!(pool.place(&key("b")).await.server(), 0);
}
