//! Messages that the client library cannot read.

use async_nats::{ConnectOptions, Event};
use futures::StreamExt;
use signalbox_broker::raw::Raw;
use signalbox_proto::{Timestamp, subjects};
use tokio::sync::mpsc;

use crate::harness::{Server, messages, ready, soon};

const SUBJECT: &[u8] = b"signalbox.in.acme.x";

fn raw(subject: &[u8], headers: &[u8]) -> Raw {
    Raw {
        subject: String::from_utf8_lossy(subject).into_owned(),
        seq: 1,
        at: Timestamp::now(),
        headers: headers.to_vec(),
        body: Vec::new(),
    }
}

#[tokio::test]
async fn what_is_called_unreadable_is_what_the_library_drops_its_connection_at() {
    let server = Server::start().await;
    let (event, mut events) = mpsc::unbounded_channel();
    let client = ConnectOptions::new()
        .event_callback(move |happened| {
            // Late events have nobody to listen.
            drop(event.send(happened));
            async {}
        })
        .connect(server.url())
        .await
        .unwrap();
    let mut inputs = client.subscribe("signalbox.in.>").await.unwrap();

    let blocks: [&[u8]; 29] = [
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0\r\n",
        b"NATS/1.0",
        b"NATS/1.0\r\na: b\r\n\r\n",
        b"NATS/1.0\r\n: x\r\n\r\n",
        b"NATS/1.0\r\na:\r\n\r\n",
        b"NATS/1.0\r\na: b\r\n folded\r\n\r\n",
        b"NATS/1.0\r\na: b\r\n\xc2\xa0folded\r\n\r\n",
        b"NATS/1.0\r\n folded\r\n\r\n",
        b"NATS/1.0\r\na: b\n\nc: d\n",
        b"NATS/1.0\r\na: \xc3\xbc\r\n\r\n",
        b"NATS/1.0\r\na: \x01\x7f\r\n\r\n",
        b"NATS/1.0\r\na: \xff\xfe\r\n\r\n",
        b"NATS/1.0\r\n\xff: x\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\na b: c\r\n\r\n",
        b"NATS/1.0\r\na\tb: c\r\n\r\n",
        b"NATS/1.0\r\n\t: x\r\n\r\n",
        b"NATS/1.0\r\nname\xc3\xa9: v\r\n\r\n",
        b"NATS/1.0 100 Idle\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 x\r\n\r\n",
        b"NATS/1.0 99999\r\n\r\n",
        b"NATS/1.0100\r\n\r\n",
        b"NATS/1.0  404  x\r\n\r\n",
        b"NATS/2.0\r\n\r\n",
        b"HTTP/1.1\r\na: b\r\n\r\n",
        b"\r\n\r\n",
        b"x",
    ];
    let subjects: [&[u8]; 3] = [
        b"signalbox.in.acme.\xc3\xbc",
        b"signalbox.in.acme.a\xc2\xa0b",
        b"signalbox.in.acme.\xff",
    ];
    let of_subjects = subjects
        .iter()
        .flat_map(|subject| [(*subject, &b""[..]), (*subject, &b"NATS/1.0\r\n\r\n"[..])]);
    let inputs_sent = blocks.iter().map(|block| (SUBJECT, *block)).chain(of_subjects);
    for (subject, block) in inputs_sent {
        // What comes back was published behind the subscription.
        client.publish("signalbox.in.ready", "".into()).await.unwrap();
        soon("the subscription", inputs.next()).await.unwrap();
        server.publish_block(subject, block, b"").await;
        let raw = raw(subject, block);
        let dropped = soon(&format!("a message or the end of the connection at {raw:?}"), async {
            loop {
                tokio::select! {
                    input = inputs.next() => {
                        assert!(input.is_some());
                        return false;
                    }
                    event = events.recv() => if event == Some(Event::Disconnected) {
                        return true;
                    }
                }
            }
        })
        .await;
        assert_eq!(raw.fault().is_some(), dropped, "{raw:?}: {:?}", raw.fault());
    }
}

#[tokio::test]
async fn any_message_is_read_with_its_bytes_and_can_be_removed() {
    let (server, broker) = ready().await;
    assert_eq!(broker.read_raw(subjects::INGEST, 1).await.unwrap(), None);
    let block = b"NATS/1.0\r\na: \xff\r\nb c: d\r\ne: f\r\n\r\n";
    server.publish_block(SUBJECT, block, b"\xfe").await;
    server.publish_block(b"signalbox.in.acme.\xff", b"", b"{}").await;

    let first = broker.read_raw(subjects::INGEST, 0).await.unwrap().unwrap();
    assert_eq!((first.seq, first.subject.as_bytes()), (1, SUBJECT));
    assert_eq!((&first.headers[..], &first.body[..]), (&block[..], &b"\xfe"[..]));
    assert_eq!(first.fault(), Some("the headers are not UTF-8"));
    let read = [("a", "\u{fffd}"), ("e", "f")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(first.header_list(), read);

    broker.remove(subjects::INGEST, first.seq).await.unwrap();
    let second = broker.read_raw(subjects::INGEST, 1).await.unwrap().unwrap();
    assert_eq!(
        (second.seq, &second.headers[..], &second.body[..]),
        (2, &b""[..], &b"{}"[..])
    );
    assert_eq!(second.fault(), Some("the subject is not UTF-8"));
    assert_eq!(messages(&broker, subjects::INGEST).await, 1);
    assert_eq!(broker.read_raw(subjects::INGEST, 3).await.unwrap(), None);
    broker.read_raw("NOWHERE", 1).await.unwrap_err();
}

#[tokio::test]
async fn what_is_gone_counts_as_removed_and_what_cannot_be_removed_is_an_error() {
    let (server, broker) = ready().await;
    for body in [b"{}", b"[]", b"\"\""] {
        server.publish_block(SUBJECT, b"", body).await;
    }
    // The first, one in the midst, the last; twice each, and one that never was.
    for seq in [1, 1, 2, 2, 3, 3, 4] {
        broker.remove(subjects::INGEST, seq).await.unwrap();
    }
    assert_eq!(messages(&broker, subjects::INGEST).await, 0);

    broker.remove("NOWHERE", 1).await.unwrap_err();
    let kept = async_nats::jetstream::stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept".into()],
        deny_delete: true,
        ..Default::default()
    };
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    jetstream.create_stream(kept).await.unwrap();
    jetstream.publish("kept", "x".into()).await.unwrap().await.unwrap();
    let error = broker.remove("KEPT", 1).await.unwrap_err().to_string();
    assert!(error.contains("removal of message 1 of KEPT"), "{error}");
}
