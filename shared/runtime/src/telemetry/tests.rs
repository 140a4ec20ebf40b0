use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use proptest::prelude::*;
use serde_json::Value;
use tokio::sync::mpsc;

use super::*;

/// Collects what a subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(level: &str, format: Format, write: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = Log {
        level: level.to_owned(),
        format,
    };
    let subscriber = subscriber(&log, move || writer.clone(), false).unwrap();
    tracing::subscriber::with_default(subscriber, write);
    let written = lines.0.lock().unwrap();
    String::from_utf8(written.clone()).unwrap()
}

#[test]
fn json_lines_carry_dotted_fields_at_the_top() {
    let text = logged("info", Format::Json, || {
        tracing::info!(event.id = "e1", duration_ms = 3, "delivered");
        tracing::debug!("not at this level");
    });
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["event.id"], "e1");
    assert_eq!(line["duration_ms"], 3);
    assert_eq!(line["message"], "delivered");
    assert_eq!(line["level"], "INFO");
}

#[test]
fn text_lines_follow_the_level_of_their_module() {
    let text = logged("warn,signalbox_runtime=debug", Format::Text, || {
        tracing::debug!(event.id = "e1", "seen");
        tracing::info!(target: "elsewhere", "unseen");
    });
    assert!(text.contains("seen") && text.contains("event.id=\"e1\""), "{text}");
    assert!(!text.contains("unseen"), "{text}");
}

#[test]
fn a_level_that_cannot_be_read_is_refused_and_a_second_start_changes_nothing() {
    let log = |level: &str| Log {
        level: level.to_owned(),
        format: Format::Text,
    };
    assert!(
        init(&log("a=b=c"))
            .unwrap_err()
            .to_string()
            .starts_with("log.level: \"a=b=c\" is not a level")
    );
    let error = init(&log("info,loud")).unwrap_err().to_string();
    assert!(
        error.ends_with("\"loud\" is none of off, error, warn, info, debug, trace"),
        "{error}"
    );
    assert!(init(&log("")).is_err());
    init(&log("error")).unwrap();
    init(&log("error")).unwrap();
}

#[test]
fn the_compiled_in_defaults_are_what_the_types_read() {
    let settings = crate::Settings::load(&[], None, std::iter::empty(), &[]).unwrap();
    let log: Log = settings.section("log").unwrap();
    assert_eq!((log.level.as_str(), log.format), ("info,async_nats=warn", Format::Text));
    let telemetry: Telemetry = settings.section("telemetry").unwrap();
    assert_eq!(telemetry.otlp_endpoint, None);
    telemetry.check().unwrap();
    let env = [("SIGNALBOX_LOG__FORMAT".to_owned(), "yaml".to_owned())].into_iter();
    let error = crate::Settings::load(&[], None, env, &[])
        .unwrap()
        .section::<Log>("log")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "log.format: \"yaml\" is neither text nor json (from SIGNALBOX_LOG__FORMAT)"
    );
}

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_traceparent_is_read_and_written_back() {
    let context = TraceContext::parse(GOOD).unwrap();
    assert!(context.sampled());
    assert_eq!(context.to_string(), GOOD);
    let child = context.child();
    assert_eq!((child.trace_id, child.flags), (context.trace_id, context.flags));
    assert_ne!(child.span_id, context.span_id);
    assert!(!TraceContext::parse(&GOOD.replace("-01", "-00")).unwrap().sampled());
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    let later = GOOD.replacen("00-", "cc-", 1);
    assert_eq!(TraceContext::parse(&later).unwrap().to_string(), GOOD);
    assert_eq!(TraceContext::parse(&format!("{later}-more")).unwrap().to_string(), GOOD);
    assert_eq!(TraceContext::parse(&format!("{later}more")), None);
}

#[test]
fn what_is_not_a_traceparent_is_none() {
    for text in [
        "",
        "00",
        &GOOD.to_uppercase(),
        &format!("{GOOD}-"),
        &format!("{GOOD} "),
        &GOOD.replacen("00-", "ff-", 1),
        &GOOD.replace('-', "_"),
        &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
        &GOOD.replace("4bf9", "4bg9"),
        &GOOD.replace("4bf9", "é9"),
        &GOOD.replace("-01", "-0x"),
    ] {
        assert_eq!(TraceContext::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,80}") {
        if let Some(context) = TraceContext::parse(&text) {
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }
    }
}

#[test]
fn ids_of_new_traces_differ() {
    let ids: BTreeSet<_> = (0..1_000).map(|_| TraceContext::root().trace_id).collect();
    assert_eq!(ids.len(), 1_000);
}

#[test]
fn without_a_collector_the_context_stays_as_it_came() {
    let tracer = Tracer::disabled();
    let parent = TraceContext::parse(GOOD);
    assert!(!tracer.is_enabled());
    assert_eq!(tracer.child_context(parent), parent);
    assert_eq!(tracer.child_context(None), None);
    tracer.hop(hop(parent.as_ref(), parent.as_ref()));
}

fn hop<'a>(parent: Option<&'a TraceContext>, context: Option<&'a TraceContext>) -> Hop<'a> {
    Hop {
        name: "route",
        kind: Kind::Consumer,
        parent,
        context,
        start_nanos: 1_000,
        end_nanos: 2_500,
        attributes: &[
            ("event.id", Attribute::Text("e1")),
            ("attempt", Attribute::Int(2)),
            ("last", Attribute::Flag(true)),
        ],
        error: Some("no route"),
    }
}

fn telemetry(endpoint: &str) -> Telemetry {
    Telemetry {
        otlp_endpoint: Some(endpoint.to_owned()),
        sample_ratio: 1.0,
        queue_max: 100,
        batch_max: 2,
        flush_interval: Human(Duration::from_secs(60)),
        request_timeout: Human(Duration::from_secs(5)),
    }
}

/// A collector that answers with the given statuses in turn, then 200, and hands on what it was sent.
async fn collector(statuses: Vec<StatusCode>) -> (String, mpsc::UnboundedReceiver<Value>) {
    let (sender, received) = mpsc::unbounded_channel();
    let statuses = Arc::new(Mutex::new(statuses.into_iter()));
    let answer = move |body: Bytes| async move {
        sender.send(serde_json::from_slice(&body).unwrap()).unwrap();
        statuses.lock().unwrap().next().unwrap_or(StatusCode::OK)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/v1/traces", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), received)
}

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_hop_arrives_at_the_collector_as_otlp() {
    let (endpoint, mut received) = collector(vec![]).await;
    let tracer = Tracer::start(&telemetry(&endpoint)).unwrap().for_role("router");
    let parent = TraceContext::parse(GOOD);
    let context = tracer.child_context(parent);
    tracer.hop(hop(parent.as_ref(), context.as_ref()));
    tracer.flush(LIMIT).await;
    let resource = &received.recv().await.unwrap()["resourceSpans"][0];
    assert_eq!(
        resource["resource"]["attributes"][0]["value"]["stringValue"],
        "signalbox-router"
    );
    let span = &resource["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(
        span["spanId"],
        format!("{:016x}", u64::from_be_bytes(context.unwrap().span_id))
    );
    assert_eq!((&span["name"], &span["kind"]), (&Value::from("route"), &Value::from(5)));
    assert_eq!(
        (&span["startTimeUnixNano"], &span["endTimeUnixNano"]),
        (&Value::from("1000"), &Value::from("2500"))
    );
    assert_eq!(span["attributes"][0]["value"]["stringValue"], "e1");
    assert_eq!(span["attributes"][1]["value"]["intValue"], "2");
    assert_eq!(span["attributes"][2]["value"]["boolValue"], true);
    assert_eq!(span["status"]["message"], "no route");
}

#[tokio::test]
async fn a_full_batch_goes_at_once_and_the_connection_is_used_again() {
    let (endpoint, mut received) = collector(vec![]).await;
    let tracer = Tracer::start(&telemetry(&endpoint)).unwrap();
    let context = tracer.child_context(None);
    for _ in 0..4 {
        tracer.hop(hop(None, context.as_ref()));
    }
    for _ in 0..2 {
        let body = tokio::time::timeout(LIMIT, received.recv()).await.unwrap().unwrap();
        assert_eq!(
            body["resourceSpans"][0]["scopeSpans"][0]["spans"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }
}

#[tokio::test]
async fn a_busy_collector_is_asked_again_and_a_refusing_one_is_not() {
    let (endpoint, mut received) = collector(vec![StatusCode::SERVICE_UNAVAILABLE]).await;
    let tracer = Tracer::start(&telemetry(&endpoint)).unwrap();
    let context = tracer.child_context(None);
    tracer.hop(hop(None, context.as_ref()));
    tracer.flush(LIMIT).await;
    assert_eq!(received.recv().await.unwrap(), received.recv().await.unwrap());

    let (endpoint, mut received) = collector(vec![StatusCode::BAD_REQUEST]).await;
    let tracer = Tracer::start(&telemetry(&endpoint)).unwrap();
    tracer.hop(hop(None, context.as_ref()));
    tracer.flush(LIMIT).await;
    received.recv().await.unwrap();
    assert!(received.try_recv().is_err());
}

#[tokio::test]
async fn unsampled_traces_are_not_exported_and_the_share_is_kept() {
    let (endpoint, mut received) = collector(vec![]).await;
    let tracer = Tracer::start(&Telemetry {
        sample_ratio: 0.25,
        queue_max: 10,
        ..telemetry(&endpoint)
    })
    .unwrap();
    let unsampled = TraceContext::parse(&GOOD.replace("-01", "-00"));
    assert_eq!(tracer.child_context(unsampled), unsampled);
    tracer.hop(hop(None, unsampled.as_ref()));
    tracer.flush(LIMIT).await;
    assert!(received.try_recv().is_err());
    let sampled = (0..4_000)
        .filter(|_| tracer.child_context(None).unwrap().sampled())
        .count();
    assert!((800..1_200).contains(&sampled), "{sampled}");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_but_never_a_wait() {
    // The listener is bound and never accepts: a connection is made, an answer never comes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let settings = Telemetry {
        request_timeout: Human(Duration::from_millis(100)),
        queue_max: 3,
        ..telemetry(&endpoint)
    };
    let tracer = Tracer::start(&settings).unwrap();
    let context = tracer.child_context(None);
    for _ in 0..1_000 {
        tracer.hop(hop(None, context.as_ref()));
    }
    tracer.flush(LIMIT).await;
}

#[tokio::test]
async fn only_plain_http_endpoints_are_taken() {
    for (endpoint, problem) in [
        ("https://collector:4318", "is https"),
        ("collector:4318", "is not an address"),
        ("grpc://collector:4317", "is not an address"),
        ("http://user:hunter2@collector", "holds a user name"),
        ("user:hunter2@collector:4318", "is not an address"),
        ("https://collector/?token=hunter2", "is https"),
    ] {
        let error = Tracer::start(&telemetry(endpoint)).unwrap_err().to_string();
        assert!(
            error.starts_with("telemetry.otlp_endpoint: ") && error.contains(problem),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
    for endpoint in [
        "http://127.0.0.1:4318",
        "http://[::1]:4318/",
        "http://collector/custom/path",
    ] {
        Tracer::start(&telemetry(endpoint)).unwrap();
    }
}
