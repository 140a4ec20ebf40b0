//! A vendor that makes another of whatever it is asked for, and a worker that dies at every place there is.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, sync::Mutex};

use serde_json::json;
use signalbox_proto::{outcome::OutcomeKind, refs};
use signalbox_providers::{About, Egress, Request, Step, find, http::Response, redact::Redactor};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::attempt::tests::{about, delivery};

/// What the vendor was asked for, and what it does with it.
#[derive(Default)]
struct Vendor {
    /// What it has made, by name.
    made: Mutex<BTreeMap<String, Vec<String>>>,
    /// The next creations of this name end so.
    scripts: Mutex<BTreeMap<String, Vec<Says>>>,
    looked: Mutex<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Says {
    /// It makes it and its answer is lost.
    Lost,
    /// It makes it and answers that it could not.
    Wrong,
    /// It refuses.
    TooMany,
}

impl Vendor {
    async fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let vendor = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(vendor.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut part = [0; 4096];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(read) => head.extend_from_slice(&part[..read]),
            }
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).expect("a path").to_owned();
        let (act, name) = path.trim_start_matches('/').split_once('/').expect("an act and a name");
        let (status, body) = match act {
            "find" => {
                *self.looked.lock().expect("nobody panicked") += 1;
                let made = self.made.lock().expect("nobody panicked");
                (
                    200,
                    made.get(name).and_then(|ids| ids.first()).cloned().unwrap_or_default(),
                )
            }
            _ => match self.make(name) {
                None => return,
                Some(answer) => answer,
            },
        };
        let answer = format!(
            "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        drop(stream.write_all(answer.as_bytes()).await);
    }

    fn make(&self, name: &str) -> Option<(u16, String)> {
        let script = self
            .scripts
            .lock()
            .expect("nobody panicked")
            .get_mut(name)
            .and_then(Vec::pop);
        if script == Some(Says::TooMany) {
            return Some((429, String::new()));
        }
        let mut made = self.made.lock().expect("nobody panicked");
        let ids = made.entry(name.to_owned()).or_default();
        ids.push(format!("{name}-{}", ids.len() + 1));
        match script {
            Some(Says::Lost) => None,
            Some(_) => Some((502, String::new())),
            None => Some((201, ids.last().cloned().unwrap_or_default())),
        }
    }

    fn says(&self, name: &str, script: &[Says]) {
        let mut script = script.to_vec();
        script.reverse();
        self.scripts
            .lock()
            .expect("nobody panicked")
            .insert(name.to_owned(), script);
    }

    /// How many it has made of each name.
    fn made(&self) -> Vec<(String, usize)> {
        let made = self.made.lock().expect("nobody panicked");
        made.iter().map(|(name, ids)| (name.clone(), ids.len())).collect()
    }
}

/// A target that makes an issue, two parts of it, and a comment for each delivery.
struct Tracker {
    to: Box<dyn AnyTarget>,
    /// What it waits for behind the issue.
    waits: Option<Waits>,
}

impl Tracker {
    async fn at(vendor: &Arc<Vendor>) -> Arc<dyn AnyTarget> {
        let url = format!("http://{}/", vendor.start().await);
        let webhook = find("webhook").expect("built in");
        let to = webhook.open(json!({ "url": url }), json!({}), about());
        Arc::new(Self {
            to: to.expect("a target"),
            waits: None,
        })
    }

    fn request(&self, delivery: &Delivery, act: &str, name: &str) -> Request {
        match self.to.next(delivery, &[], Timestamp::from_secs(1)) {
            Step::Send(Request::Http(mut request)) => {
                request.url.set_path(&format!("/{act}/{name}"));
                request.body = Default::default();
                Request::Http(request)
            }
            other => unreachable!("a webhook sends one request: {other:?}"),
        }
    }

    fn find(&self, delivery: &Delivery, name: &str) -> Move {
        let request = self.request(delivery, "find", name);
        Move::Ask(Cow::Owned(format!("find {name}")), request)
    }
}

impl AnyTarget for Tracker {
    fn about(&self) -> &About {
        self.to.about()
    }

    fn redactor(&self) -> &Redactor {
        self.to.redactor()
    }

    fn next(&self, _: &Delivery, _: &[Exchange], _: Timestamp) -> Step {
        unreachable!("it keeps things");
    }

    fn thing(&self, _: &Delivery) -> Option<Thing> {
        Some(Thing::Named("it".to_owned()))
    }

    fn go_on(&self, delivery: &Delivery, known: &Known<'_>, _: Timestamp) -> Move {
        let again = |reason: &str| {
            let (reason, after) = (reason.to_owned(), None);
            Move::Done(Outcome::Retry { reason, after })
        };
        for name in ["issue", "part-1", "part-2"] {
            let fact = Cow::Borrowed(name);
            if known.refs.fact(name).is_some() {
                continue;
            }
            let (reason, after) = ("not yet".to_owned(), Duration::from_secs(60));
            match self.waits.filter(|_| name != "issue") {
                Some(Waits::Alone) => return Move::Wait { reason, after },
                Some(Waits::WithAll) => return Move::Pause { reason, after },
                Some(Waits::Hindered) | None => {}
            }
            if let Some(answer) = known.answer(name) {
                return match answer.status {
                    201 => Move::Learn(vec![Lesson::Fact(fact, text_of(answer))]),
                    _ => again("not made"),
                };
            }
            if known.refs.doubt(name).is_some() {
                match known.answer(&format!("find {name}")).map(text_of) {
                    None => return self.find(delivery, name),
                    Some(id) if !id.is_empty() => return Move::Learn(vec![Lesson::Fact(fact, id)]),
                    Some(_) => {}
                }
            }
            return Move::Once(fact, self.request(delivery, "make", name));
        }
        Move::Done(Outcome::Delivered)
    }

    fn probe(&self, _: Timestamp) -> Option<Request> {
        None
    }

    fn classify(&self, _: &Response, _: Timestamp) -> Outcome {
        Outcome::Delivered
    }
}

fn text_of(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

/// What is remembered, in memory; the writer may die at one write, before or after it is stored.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    refs: Refs,
    names: Refs,
    writes: usize,
    /// Dies at this write, and whether it is stored.
    dies: Option<(usize, bool)>,
    taken: bool,
}

impl Memory {
    fn refs(&self) -> Refs {
        self.0.lock().expect("nobody panicked").refs.clone()
    }
}

impl Remembering for Memory {
    type Book = Self;
    type Holding = Self;

    async fn take(&self, _: &str, _: &str) -> Result<(Self, Self), String> {
        let mut stored = self.0.lock().expect("nobody panicked");
        if std::mem::replace(&mut stored.taken, true) {
            return Err("another has it".to_owned());
        }
        Ok((self.clone(), self.clone()))
    }
}

impl Book for Memory {
    async fn read(&mut self) -> Result<(Refs, Refs), String> {
        let stored = self.0.lock().expect("nobody panicked");
        Ok((stored.refs.clone(), stored.names.clone()))
    }

    async fn write(&mut self, refs: &Refs) -> Result<(), String> {
        let mut stored = self.0.lock().expect("nobody panicked");
        stored.writes += 1;
        let dies = stored.dies.filter(|(at, _)| *at == stored.writes);
        if dies.is_none_or(|(_, is_stored)| is_stored) {
            stored.refs = refs.clone();
        }
        dies.map_or(Ok(()), |_| Err("died".to_owned()))
    }

    async fn write_names(&mut self, names: &Refs) -> Result<(), String> {
        self.0.lock().expect("nobody panicked").names = names.clone();
        Ok(())
    }
}

impl Holding for Memory {
    async fn bound<T: Send>(&mut self, future: impl Future<Output = T> + Send) -> Option<T> {
        Some(future.await)
    }

    async fn release(self) {
        self.0.lock().expect("nobody panicked").taken = false;
    }
}

fn client() -> Client {
    let allow = vec!["127.0.0.0/8".parse().expect("a range")];
    Client::new(Egress { allow }).expect("a client")
}

async fn attempt(target: &Arc<dyn AnyTarget>, memory: &Memory) -> Attempted {
    let delivery = delivery();
    let thing = target.thing(&delivery).expect("it keeps things");
    send(&client(), memory, target, &delivery, &thing).await
}

/// Attempts until it has arrived.
async fn arrive(target: &Arc<dyn AnyTarget>, memory: &Memory) -> usize {
    for attempts in 1..20 {
        if attempt(target, memory).await.outcome == Outcome::Delivered {
            return attempts;
        }
    }
    panic!("it never arrives");
}

fn each_once() -> Vec<(String, usize)> {
    ["issue", "part-1", "part-2"].map(|name| (name.to_owned(), 1)).to_vec()
}

#[tokio::test]
async fn whoever_dies_at_whatever_write_nothing_is_made_twice() {
    // A doubt and a fact for each of the three.
    for at in 1..=6 {
        for is_stored in [false, true] {
            let vendor = Arc::new(Vendor::default());
            let target = Tracker::at(&vendor).await;
            let memory = Memory::default();
            memory.0.lock().expect("nobody panicked").dies = Some((at, is_stored));
            assert_eq!(arrive(&target, &memory).await, 2, "dies at {at}, stored: {is_stored}");
            assert_eq!(vendor.made(), each_once(), "dies at {at}, stored: {is_stored}");
            assert_eq!(memory.refs().fact("part-2"), Some("part-2-1"));
        }
    }
}

#[tokio::test]
async fn whatever_the_vendor_answers_nothing_is_made_twice() {
    for (name, script, looks) in [
        ("issue", &[Says::Lost][..], 1),
        ("part-1", &[Says::Wrong], 1),
        // It refused: there is nothing to look for.
        ("part-2", &[Says::TooMany], 0),
        ("issue", &[Says::TooMany, Says::TooMany, Says::Lost], 1),
    ] {
        let vendor = Arc::new(Vendor::default());
        let target = Tracker::at(&vendor).await;
        let memory = Memory::default();
        vendor.says(name, script);
        let first = attempt(&target, &memory).await;
        assert_eq!((first.outcome.kind(), first.asked), (OutcomeKind::Retry, true));
        assert_eq!(memory.refs().doubt(name).is_some(), script[0] != Says::TooMany);
        arrive(&target, &memory).await;
        assert_eq!(vendor.made(), each_once(), "{name}");
        assert_eq!(*vendor.looked.lock().expect("nobody panicked"), looks, "{name}");
    }
}

#[tokio::test]
async fn what_found_no_connection_leaves_no_doubt() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", nobody.local_addr().expect("an address"));
    drop(nobody);
    let webhook = find("webhook").expect("built in");
    let to = webhook.open(json!({ "url": url }), json!({}), about());
    let target: Arc<dyn AnyTarget> = Arc::new(Tracker {
        to: to.expect("a target"),
        waits: None,
    });
    let memory = Memory::default();
    let attempted = attempt(&target, &memory).await;
    assert_eq!((attempted.outcome.kind(), attempted.asked), (OutcomeKind::Retry, true));
    assert_eq!(memory.refs().doubt("issue"), None, "nobody can have made it");
}

#[tokio::test]
async fn a_refusal_leaves_the_doubt_of_a_request_before_it() {
    let vendor = Arc::new(Vendor::default());
    let target = Tracker::at(&vendor).await;
    let memory = Memory::default();
    memory
        .0
        .lock()
        .expect("nobody panicked")
        .refs
        .begin("issue", Timestamp::from_secs(1))
        .expect("room");
    vendor.says("issue", &[Says::TooMany]);
    attempt(&target, &memory).await;
    assert_eq!(memory.refs().doubt("issue"), Some(Timestamp::from_secs(1)));
    arrive(&target, &memory).await;
    assert_eq!(*vendor.looked.lock().expect("nobody panicked"), 2, "it looks each time");
    assert_eq!(vendor.made(), each_once());
}

#[tokio::test]
async fn who_is_hindered_after_a_request_says_nothing_of_the_target() {
    let vendor = Arc::new(Vendor::default());
    let target = Tracker::at(&vendor).await;
    let memory = Memory::default();
    // The doubt is stored, the fact behind the answer is not.
    memory.0.lock().expect("nobody panicked").dies = Some((2, false));
    let attempted = attempt(&target, &memory).await;
    assert_eq!((attempted.outcome.kind(), attempted.asked), (OutcomeKind::Retry, true));
    assert!(!attempted.is_of_target(), "{attempted:?}");
    assert_eq!((attempted.asks_for(), attempted.waits_for()), (None, None));
}

#[tokio::test]
async fn what_waits_has_not_failed_and_holds_others_only_where_the_target_asks_for_it() {
    let vendor = Arc::new(Vendor::default());
    for (waits, holds) in [(Waits::Alone, None), (Waits::WithAll, Some(Duration::from_secs(60)))] {
        let webhook = find("webhook").expect("built in");
        let url = format!("http://{}/", vendor.start().await);
        let to = webhook.open(json!({ "url": url }), json!({}), about());
        let target: Arc<dyn AnyTarget> = Arc::new(Tracker {
            to: to.expect("a target"),
            waits: Some(waits),
        });
        let attempted = attempt(&target, &Memory::default()).await;
        let after = Some(Duration::from_secs(60));
        let reason = "not yet".to_owned();
        assert_eq!(attempted.outcome, Outcome::Retry { reason, after });
        assert!(attempted.asked && !attempted.is_of_target(), "{attempted:?}");
        assert_eq!(attempted.asks_for(), holds);
    }
}

#[tokio::test]
async fn what_another_delivery_has_made_is_not_made_again() {
    let vendor = Arc::new(Vendor::default());
    let target = Tracker::at(&vendor).await;
    let memory = Memory::default();
    assert_eq!(arrive(&target, &memory).await, 1);
    let again = attempt(&target, &memory).await;
    assert_eq!((again.outcome, again.asked), (Outcome::Delivered, false));
    assert_eq!(vendor.made(), each_once());
}

#[tokio::test]
async fn a_thing_that_another_delivery_is_at_is_not_asked_for() {
    let vendor = Arc::new(Vendor::default());
    let target = Tracker::at(&vendor).await;
    let memory = Memory::default();
    memory.0.lock().expect("nobody panicked").taken = true;
    let attempted = attempt(&target, &memory).await;
    assert_eq!((attempted.outcome.kind(), attempted.asked), (OutcomeKind::Retry, false));
    assert_eq!(vendor.made(), []);
}

#[tokio::test]
async fn what_is_a_delivery_s_own_is_forgotten_with_its_end() {
    let vendor = Arc::new(Vendor::default());
    let target = Tracker::at(&vendor).await;
    let memory = Memory::default();
    let own = refs::own(&delivery().id, "comment");
    let now = Timestamp::from_secs(1);
    memory.0.lock().expect("nobody panicked").refs.learn(&own, "7", now);
    vendor.says("issue", &[Says::TooMany]);
    attempt(&target, &memory).await;
    assert_eq!(memory.refs().fact(&own), Some("7"), "it goes on");
    arrive(&target, &memory).await;
    assert_eq!(memory.refs().fact(&own), None);
}
