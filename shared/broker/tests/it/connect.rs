//! What is asked of a server before anything is done with it.

use std::time::Duration;

use signalbox_broker::{Broker, Error};

use crate::harness::{Server, config, connect, eventually, soon};

#[tokio::test]
async fn a_process_waits_for_a_server_that_is_not_there_yet() {
    let mut server = Server::start().await;
    server.kill().await;
    let url = server.url();
    let connecting = tokio::spawn(async move { connect(&url).await });
    tokio::time::timeout(Duration::from_millis(300), async {
        while !connecting.is_finished() {
            tokio::task::yield_now().await
        }
    })
    .await
    .expect_err("it connected to nobody");
    server.restart().await;
    let broker = soon("a connection", connecting).await.unwrap();
    assert!(broker.is_connected());
    server.kill().await;
    eventually("the end of the connection", async || {
        (!broker.is_connected()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let server = Server::start().await;
    for (partitions, replicas, name) in [
        (0, 1, "nats.partitions"),
        (65, 1, "nats.partitions"),
        (1, 2, "nats.replicas"),
    ] {
        let mut config = config(&server.url());
        (config.partitions, config.replicas) = (partitions, replicas);
        let error = Broker::connect(config, "test").await.unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
        assert!(!error.is_transient());
    }
}

/// Set NATS_OLD_SERVER to the path of a nats-server before 2.12 to run it.
#[tokio::test]
async fn a_server_before_2_12_is_refused_with_the_remedy() {
    let Some(old) = std::env::var_os("NATS_OLD_SERVER") else {
        eprintln!("SKIPPED: NATS_OLD_SERVER does not name a nats-server before 2.12");
        return;
    };
    let server = Server::start_program(old.into()).await;
    let error = Broker::connect(config(&server.url()), "test").await.unwrap_err();
    assert!(
        matches!(&error, Error::ServerTooOld { version } if version.starts_with("2.")),
        "{error}"
    );
    assert!(error.to_string().contains("make tools"), "{error}");
}
