//! Tokens of rate limits: what many holders take together, and what a restarted server has forgotten.

use std::time::Duration;

use futures::future::join_all;
use signalbox_broker::limiter::Limiter;
use signalbox_proto::{Timestamp, integration::RateLimit};

use crate::harness::{eventually, jetstream, ready};

/// The begin of an hour, and so of a minute.
const HOUR: Timestamp = Timestamp::from_secs(500_000 * 3_600);
/// Tokens that are due later than that are not taken.
const NOW: Duration = Duration::ZERO;

fn at(secs: u64) -> Timestamp {
    HOUR + Duration::from_secs(secs)
}

async fn taken(limiter: &Limiter, limit: &RateLimit, want: u32, now: Timestamp) -> usize {
    limiter.take("i1", limit, want, NOW, now).await.unwrap().slots.len()
}

#[tokio::test]
async fn holders_that_take_at_once_get_what_is_due_and_no_more() {
    let (_server, broker) = ready().await;
    let limit = RateLimit {
        per_minute: Some(600),
        ..RateLimit::default()
    };
    // Each holder has a memory of its own, as processes have.
    let holders: Vec<Limiter> = (0..8).map(|_| Limiter::new(broker.clone())).collect();
    let each = join_all(holders.iter().map(async |limiter| {
        let mut all = 0;
        for _ in 0..40 {
            all += taken(limiter, &limit, 2, at(30)).await;
        }
        all
    }));
    let all: usize = each.await.into_iter().sum();
    // At half past the minute, 310 of the 600 are due, of which 6 s are kept and a burst; holders that pass over the
    // others at once may share a few numbers.
    assert!((50..=86).contains(&all), "{all}");
    // What several ask for at the end of the due ones is given back by all of them: the rest is there then.
    let rest = taken(&Limiter::new(broker.clone()), &limit, 20, at(30)).await;
    assert!((70..=86).contains(&(all + rest)), "{all} and {rest}");
    assert_eq!(taken(&Limiter::new(broker.clone()), &limit, 20, at(30)).await, 0);
    let later = join_all(holders.iter().map(|limiter| taken(limiter, &limit, 64, at(36)))).await;
    let later: usize = later.into_iter().sum();
    let last = taken(&Limiter::new(broker), &limit, 300, at(36)).await;
    assert_eq!(later + last, 60, "6 s later");
}

#[tokio::test]
async fn a_quiet_while_saves_up_six_seconds_of_a_minute_and_all_of_an_hour() {
    let (_server, broker) = ready().await;
    let limiter = Limiter::new(broker);
    let of_minute = RateLimit {
        per_minute: Some(60),
        ..RateLimit::default()
    };
    assert_eq!(taken(&limiter, &of_minute, 60, at(40)).await, 7);
    assert_eq!(taken(&limiter, &of_minute, 60, at(41)).await, 1);
    assert_eq!(taken(&limiter, &of_minute, 60, at(59)).await, 7);
    let of_hour = RateLimit {
        per_hour: Some(100),
        ..RateLimit::default()
    };
    assert_eq!(taken(&limiter, &of_hour, 100, at(3_500)).await, 100);
}

#[tokio::test]
async fn each_window_has_its_own_limit_and_the_scarcest_counts() {
    let (_server, broker) = ready().await;
    let limiter = Limiter::new(broker);
    let limit = RateLimit {
        per_minute: Some(60),
        per_hour: Some(100),
        per_day: None,
    };
    let first = limiter.take("i1", &limit, 20, NOW, at(0)).await.unwrap();
    assert_eq!(
        (first.slots.len(), first.again),
        (1, Some(at(1))),
        "a second's worth of the minute"
    );
    assert_eq!(first.until, Some(at(60)));
    assert_eq!(taken(&limiter, &limit, 20, at(5)).await, 5);
    // Ten tokens of the hour are due when it begins, the next after 36 s.
    assert_eq!(taken(&limiter, &limit, 20, at(30)).await, 4);
    let none = limiter.take("i1", &limit, 20, NOW, at(30)).await.unwrap();
    assert_eq!((none.slots.len(), none.again), (0, Some(at(36))));
    // What the hour refused was given back to it, and nothing was taken from the minute.
    assert_eq!(taken(&limiter, &limit, 20, at(36)).await, 1);
    assert_eq!(taken(&limiter, &limit, 80, at(3_599)).await, 7, "6 s of a minute");
    assert_eq!(taken(&limiter, &limit, 80, at(3_599)).await, 0);
    assert_eq!(
        taken(&limiter, &limit, 20, at(3_600)).await,
        1,
        "a new hour, a new minute"
    );
}

#[tokio::test]
async fn what_is_given_back_is_there_again_and_keys_are_separate() {
    let (_server, broker) = ready().await;
    let limiter = Limiter::new(broker);
    let limit = RateLimit {
        per_hour: Some(50),
        ..RateLimit::default()
    };
    let leased = limiter.take("i1", &limit, 5, NOW, at(0)).await.unwrap();
    assert_eq!(leased.slots, [at(0); 5]);
    assert_eq!(taken(&limiter, &limit, 1, at(0)).await, 0);
    limiter.give_back("i1", &leased, 3).await;
    assert_eq!(taken(&limiter, &limit, 9, at(0)).await, 3);
    let other = limiter.take("i2", &limit, 9, NOW, at(0)).await.unwrap();
    assert_eq!(other.slots.len(), 5);
    let free = limiter.take("i1", &RateLimit::default(), 9, NOW, at(0)).await.unwrap();
    assert_eq!((free.slots.len(), free.until), (9, None));
}

#[tokio::test]
async fn a_killed_server_begins_no_hour_anew_and_for_who_remembers_no_minute() {
    let (mut server, broker) = ready().await;
    let limiter = Limiter::new(broker.clone());
    let minute = RateLimit {
        per_minute: Some(120),
        ..RateLimit::default()
    };
    let hour = RateLimit {
        per_hour: Some(120),
        ..RateLimit::default()
    };
    assert_eq!(taken(&limiter, &minute, 100, at(20)).await, 14, "6 s of it and a burst");
    let hourly = limiter.take("hourly", &hour, 100, NOW, at(20)).await.unwrap();
    assert_eq!(hourly.slots.len(), 12);
    server.kill().await;
    server.restart().await;
    let take = async |key: &str, limit: &RateLimit| limiter.take(key, limit, 100, NOW, at(30)).await.ok();
    let more = eventually("tokens of the minute", async || take("i1", &minute).await).await;
    assert_eq!(more.slots.len(), 14, "6 s again, not all of the minute");
    // Another process, which remembers nothing, meets what was made up for.
    assert_eq!(taken(&Limiter::new(broker.clone()), &minute, 100, at(30)).await, 0);
    let stranger = Limiter::new(broker);
    let more = stranger.take("hourly", &hour, 100, NOW, at(20)).await.unwrap();
    assert_eq!(more.slots.len(), 0, "the hour's counter is on disk");
}

#[tokio::test]
async fn counters_that_do_not_answer_grant_nothing() {
    let (mut server, broker) = ready().await;
    let limiter = Limiter::new(broker);
    let limit = RateLimit {
        per_minute: Some(60),
        ..RateLimit::default()
    };
    server.kill().await;
    let asked = limiter.take("i1", &limit, 1, NOW, at(0)).await;
    assert!(asked.is_err_and(|error| error.is_transient()));
    server.restart().await;
    let take = async || limiter.take("i1", &limit, 1, NOW, at(1)).await.ok();
    // An addition whose answer was lost may count: errors are on the safe side.
    eventually("tokens", async || {
        take().await.filter(|leased| !leased.slots.is_empty())
    })
    .await;
}

#[tokio::test]
async fn who_takes_while_others_pass_over_old_tokens_gets_its_own() {
    let (_server, broker) = ready().await;
    let limit = RateLimit {
        per_minute: Some(6_000),
        ..RateLimit::default()
    };
    for round in 0..10 {
        let holders: Vec<Limiter> = (0..8).map(|_| Limiter::new(broker.clone())).collect();
        let key = format!("i{round}");
        let each = join_all(holders.iter().map(async |limiter| {
            let leased = limiter.take(&key, &limit, 4, NOW, at(30)).await.unwrap();
            leased.slots.len()
        }));
        let each = each.await;
        assert!(each.iter().all(|taken| *taken > 0), "600 are due: {each:?}");
    }
}

#[tokio::test]
async fn a_token_that_nobody_can_use_any_more_is_given_back_to_its_spans_that_are_not_over() {
    let (_server, broker) = ready().await;
    let limiter = Limiter::new(broker.clone());
    let limit = RateLimit {
        per_minute: Some(6_000),
        per_hour: Some(10),
        per_day: None,
    };
    assert_eq!(taken(&limiter, &limit, 1, at(0)).await, 1);
    assert_eq!(
        taken(&limiter, &limit, 1, at(30)).await,
        0,
        "the hour has one until 360 s have passed"
    );
    limiter.refund("i1", &limit, at(0), at(90)).await;
    // The minute of then is over, and this one has not lost anything.
    assert_eq!(taken(&limiter, &limit, 20, at(90)).await, 1);
    limiter.refund("i1", &limit, at(90), at(3_600)).await;
    assert_eq!(
        taken(&limiter, &limit, 20, at(3_599)).await,
        9,
        "the others of the hour, and no other one"
    );
}

/// A stream of this name that takes no counters: they do not answer, and everything else does.
async fn silence(server: &crate::harness::Server) {
    let jetstream = jetstream(server).await;
    jetstream.delete_stream("RATE_MINUTE").await.unwrap();
    let other = async_nats::jetstream::stream::Config {
        name: "RATE_MINUTE".into(),
        subjects: vec!["elsewhere".into()],
        ..Default::default()
    };
    jetstream.create_stream(other).await.unwrap();
}

#[tokio::test]
async fn counters_that_are_silent_are_waited_for_once_and_looked_at_once() {
    let (server, broker) = ready().await;
    let limiter = Limiter::new(broker);
    let limit = RateLimit {
        per_minute: Some(60),
        ..RateLimit::default()
    };
    assert_eq!(taken(&limiter, &limit, 1, at(0)).await, 1);
    silence(&server).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut asked = client.subscribe("$JS.API.STREAM.*.RATE_MINUTE").await.unwrap();
    client.flush().await.unwrap();
    let keys: Vec<String> = (0..50).map(|number| format!("k{number}")).collect();
    let refused = join_all(keys.iter().map(|key| limiter.take(key, &limit, 1, NOW, at(1)))).await;
    assert!(
        refused
            .iter()
            .all(|asked| asked.as_ref().is_err_and(|error| error.is_transient()))
    );
    let began = std::time::Instant::now();
    for key in ["k1", "k2", "other"] {
        assert!(limiter.take(key, &limit, 1, NOW, at(1)).await.is_err());
    }
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "nobody waits for what is known: {:?}",
        began.elapsed()
    );
    let hour = RateLimit {
        per_hour: Some(60),
        ..RateLimit::default()
    };
    assert_eq!(
        taken(&limiter, &hour, 1, at(0)).await,
        1,
        "the counters of hours answer"
    );
    let mut requests = Vec::new();
    while let Ok(Some(request)) =
        tokio::time::timeout(Duration::from_millis(200), futures::StreamExt::next(&mut asked)).await
    {
        requests.push(request.subject.to_string());
    }
    assert_eq!(requests.len(), 1, "{requests:?}");
    // They answer again: who asks after a while has tokens.
    jetstream(&server).await.delete_stream("RATE_MINUTE").await.unwrap();
    eventually("tokens", async || {
        let leased = limiter.take("k1", &limit, 1, NOW, at(2)).await.ok();
        leased.filter(|leased| !leased.slots.is_empty())
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_was_begun_anew_is_known_by_its_age_where_its_sequences_are_higher_by_now() {
    let (mut server, broker) = ready().await;
    let limiter = Limiter::new(broker.clone());
    let limit = RateLimit {
        per_minute: Some(120),
        ..RateLimit::default()
    };
    assert_eq!(taken(&limiter, &limit, 100, at(20)).await, 14);
    server.kill().await;
    server.restart().await;
    // Another process asks often, and knows nothing of what was there.
    let stranger = Limiter::new(broker.clone());
    let take = async || stranger.take("i1", &limit, 1, NOW, at(0)).await.ok();
    eventually("a token", async || {
        take().await.filter(|leased| !leased.slots.is_empty())
    })
    .await;
    for _ in 0..10 {
        taken(&Limiter::new(broker.clone()), &limit, 1, at(0)).await;
    }
    assert_eq!(
        taken(&limiter, &limit, 100, at(21)).await,
        2,
        "those of one second: the others were taken before"
    );
}
