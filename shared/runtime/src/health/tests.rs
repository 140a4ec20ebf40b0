use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use super::*;

struct Admin {
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
    shutdown: Shutdown,
    server: JoinHandle<()>,
}

async fn admin() -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (health, metrics, shutdown) = (Health::new(), Metrics::new(), Shutdown::new());
    let server = tokio::spawn(serve(listener, health.clone(), metrics.clone(), shutdown.clone()));
    Admin {
        address,
        health,
        metrics,
        shutdown,
        server,
    }
}

impl Admin {
    /// Status, head and body of one answer.
    async fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    async fn readyz(&self) -> (u16, Value) {
        let (status, _, body) = self.get("/readyz").await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

#[tokio::test]
async fn a_process_is_ready_when_all_its_components_are() {
    let admin = admin().await;
    assert_eq!(admin.readyz().await, (503, json!({"ready": false, "components": []})));
    let router = admin.health.component("router");
    let ingest = admin.health.component("ingest");
    router.ready();
    let expected = json!({"ready": false, "components": [
        {"name": "ingest", "ready": false, "reason": "starting"},
        {"name": "router", "ready": true},
    ]});
    assert_eq!(admin.readyz().await, (503, expected));
    ingest.ready();
    admin.health.ready().await;
    assert_eq!(admin.readyz().await.0, 200);
    router.clone().not_ready("no connection to NATS");
    assert!(!admin.health.is_ready());
    assert_eq!(
        admin.health.not_ready(),
        [("router".to_owned(), "no connection to NATS".to_owned())]
    );
    let (status, body) = admin.readyz().await;
    assert_eq!(
        (status, &body["components"][1]["reason"]),
        (503, &json!("no connection to NATS"))
    );
}

#[tokio::test]
async fn who_waits_for_readiness_is_woken() {
    let health = Health::new();
    let component = health.component("router");
    let waiting = tokio::spawn({
        let health = health.clone();
        async move { health.ready().await }
    });
    component.ready();
    waiting.await.unwrap();
}

#[tokio::test]
async fn life_and_metrics_are_answered_before_anything_is_ready() {
    let admin = admin().await;
    assert_eq!(admin.get("/healthz").await.0, 200);
    admin.metrics.counter("events_accepted", "Events taken").inc();
    let (status, head, body) = admin.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
    assert!(body.contains("signalbox_events_accepted_total 1"), "{body}");
    assert_eq!(admin.get("/else").await.0, 404);
}

#[tokio::test]
async fn the_server_ends_when_asked_even_with_a_client_that_hangs() {
    let admin = admin().await;
    let mut hanging = TcpStream::connect(admin.address).await.unwrap();
    hanging.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    admin.get("/healthz").await;
    admin.shutdown.trigger();
    admin.server.await.unwrap();
}

#[tokio::test]
async fn a_component_that_lacks_something_is_ready_and_says_what_it_lacks() {
    let admin = admin().await;
    let recorder = admin.health.component("recorder");
    recorder.degraded("the database does not answer");
    let expected = json!({"ready": true, "components": [
        {"name": "recorder", "ready": true, "degraded": true, "reason": "the database does not answer"},
    ]});
    assert_eq!(admin.readyz().await, (200, expected));
    assert!(admin.health.is_ready() && admin.health.not_ready().is_empty());
    recorder.ready();
    let expected = json!({"ready": true, "components": [{"name": "recorder", "ready": true}]});
    assert_eq!(admin.readyz().await, (200, expected));
    admin.shutdown.trigger();
    admin.server.await.unwrap();
}
