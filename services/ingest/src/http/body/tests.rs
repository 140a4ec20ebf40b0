use std::time::Duration;

use super::*;

const LIST_BYTES_MAX: usize = 300_000;

fn config() -> Config {
    with_body(LIST_BYTES_MAX)
}

/// A small event, and lists of so many bytes.
fn with_body(http_body_bytes_max: usize) -> Config {
    Config {
        org_per_second: 0,
        event_bytes_max: 1_024,
        in_flight_max: 1,
        http_body_bytes_max,
        http_timeout_ms: 1_000,
        unknown_orgs: crate::UnknownOrgs::Accept,
    }
}

fn headers(content_type: &'static str) -> HeaderMap {
    [("content-type".parse().unwrap(), content_type.parse().unwrap())]
        .into_iter()
        .collect()
}

/// An array of one event with so many bytes of spaces.
fn list(bytes: usize) -> Vec<u8> {
    [br#"[{"type":"a.b"}"#, &*vec![b' '; bytes - 16], b"]"].concat()
}

#[tokio::test]
async fn only_what_may_be_a_list_may_be_larger_than_an_event() {
    let (bodies, config) = (Bodies::new(), config());
    let one = one_bytes_max(&config);
    for (content_type, bytes_max) in [
        ("application/json", LIST_BYTES_MAX),
        ("application/msgpack", LIST_BYTES_MAX),
        ("application/cloudevents-batch+json", LIST_BYTES_MAX),
        ("application/cloudevents+json", one),
    ] {
        let headers = headers(content_type);
        for (length, is_taken) in [(bytes_max, true), (bytes_max + 1, false)] {
            let received = bodies.receive(&headers, Body::from(list(length)), &config).await;
            match received {
                Ok(received) => assert!(is_taken && received.bytes.len() == length, "{content_type} {length}"),
                Err(problem) => assert!(!is_taken && problem.status == 413, "{content_type} {length}: {problem}"),
            }
        }
    }
}

#[tokio::test]
async fn large_bodies_are_held_so_many_at_a_time_and_small_ones_pass_by() {
    let (bodies, config) = (Bodies::new(), config());
    let headers = headers("application/json");
    let receive = |bytes: usize| bodies.receive(&headers, Body::from(list(bytes)), &config);
    let mut held = Vec::new();
    for _ in 0..LARGE_MAX {
        held.push(receive(LIST_BYTES_MAX).await.unwrap());
    }
    let mut next = Box::pin(receive(LIST_BYTES_MAX));
    assert!(
        tokio::time::timeout(Duration::from_millis(20), next.as_mut())
            .await
            .is_err(),
        "it waits for a place"
    );
    let small = receive(100).await.unwrap();
    assert_eq!(small.inputs(&headers, &config).await.unwrap().drafts.len(), 1);
    held.pop();
    assert_eq!(next.await.unwrap().bytes.len(), LIST_BYTES_MAX);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told_from_one_that_is_too_large() {
    let chunks = futures::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]);
    let received = Bodies::new()
        .receive(&HeaderMap::new(), Body::from_stream(chunks), &config())
        .await;
    assert_eq!(received.err().unwrap().status, 400);
}

#[tokio::test]
async fn a_large_list_is_read_as_a_small_one_is() {
    let config = with_body(2_000_000);
    let headers = headers("application/json");
    let events: Vec<String> = (0..900)
        .map(|n| format!(r#"{{"type":"a.b","data":"{}","id":"{n}"}}"#, "x".repeat(1_000)))
        .collect();
    let body = format!("[{}]", events.join(","));
    assert!(body.len() > READ_HERE_BYTES_MAX);
    let received = Bodies::new()
        .receive(&headers, Body::from(body), &config)
        .await
        .unwrap();
    let inputs = received.inputs(&headers, &config).await.unwrap();
    assert!(inputs.is_list);
    let ids: Vec<String> = inputs
        .drafts
        .into_iter()
        .map(|draft| draft.unwrap().id.unwrap())
        .collect();
    assert_eq!(ids, (0..900).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_read_on_so_that_its_sender_sees_the_answer() {
    const CHUNK: usize = 1024 * 1024;
    let read = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let endless = || {
        let read = read.clone();
        Body::from_stream(futures::stream::repeat_with(move || {
            read.fetch_add(CHUNK, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; CHUNK]))
        }))
    };
    let headers = headers("application/json");
    let received = Bodies::new().receive(&headers, endless(), &config()).await;
    assert_eq!(received.err().unwrap().status, 413);
    let length = read.load(std::sync::atomic::Ordering::Relaxed);
    assert!(
        (DROPPED_BYTES_MAX..DROPPED_BYTES_MAX + 3 * CHUNK).contains(&length),
        "{length}"
    );

    // One that does not come to an end is not waited for.
    tokio::time::pause();
    let hangs = futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; CHUNK])) });
    let hangs = Body::from_stream(futures::StreamExt::chain(hangs, futures::stream::pending()));
    let received = Bodies::new().receive(&headers, hangs, &config()).await;
    assert_eq!(received.err().unwrap().status, 413);
}

#[tokio::test]
async fn who_asks_before_sending_is_answered_before_anything_is_read() {
    let mut headers = headers("application/json");
    headers.insert(header::CONTENT_LENGTH, (LIST_BYTES_MAX + 1).into());
    headers.insert(header::EXPECT, "100-continue".parse().unwrap());
    let unread = futures::stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<Bytes>>> {
        panic!("the body is asked for")
    });
    let received = Bodies::new()
        .receive(&headers, Body::from_stream(unread), &config())
        .await;
    assert_eq!(received.err().unwrap().status, 413);
}
