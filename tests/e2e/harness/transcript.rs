//! What a target was sent, as a text that a person reads.

use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

use async_nats::jetstream;
use serde_json::Value;
use signalbox_proto::Timestamp;

use super::{Client, Mail, Target, target::Received};

/// Headers that every client sends, or that differ with each run.
const UNSAID: [&str; 6] = [
    "accept",
    "connection",
    "content-length",
    "host",
    "user-agent",
    "transfer-encoding",
];
/// How far from now a number is a time of this run, in seconds.
const RUN_SECS: u64 = 3_600;
/// How the marks begin that trackers leave at issues.
const MARK: &str = "signalbox-";
/// What follows, in characters: a hash, of the integration's id too.
const MARK_CHARS: usize = 22;
/// Bytes of a UUID.
const ID_BYTES: usize = 36;

/// Requests in their order.
pub(crate) struct Transcript {
    pub(crate) requests: Vec<Told>,
}

/// One request.
pub(crate) struct Told {
    /// Method and address, or the subject.
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
    /// The body, where it is JSON.
    pub(crate) body: Value,
    text: String,
}

/// What is written instead of the ids of this run.
pub(crate) async fn names(client: &Client) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let integrations = client.get("/v1/integrations?limit=200").await;
    for one in integrations["items"].as_array().expect("a list") {
        names.insert(text(&one["id"]), format!("<id of {}>", text(&one["name"])));
    }
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/v1/deliveries?limit=200{cursor}")).await;
        for one in page["items"].as_array().expect("a list") {
            let id = text(&one["id"]);
            // As one vendor's addresses spell it.
            names.insert(id.replace('-', "%2D").replace('_', "%5F"), "<delivery>".to_owned());
            names.insert(id, "<delivery>".to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return names,
        }
    }
}

impl Transcript {
    pub(crate) fn of_requests(requests: &[Received], target: &Target, names: &BTreeMap<String, String>) -> Self {
        let tell = |request: &Received| {
            let own = target.url("");
            let clean = |text: &str| cleaned(&text.replace(own.trim_start_matches("http://"), "TARGET"), names);
            let said = request
                .headers
                .iter()
                .filter(|(name, _)| !UNSAID.contains(&name.as_str()));
            Told {
                path: clean(&format!("{} {}", request.method, request.path)),
                headers: said
                    .map(|(name, value)| (name.clone(), header(name, clean(value))))
                    .collect(),
                body: serde_json::from_str(&clean(&String::from_utf8_lossy(&request.body))).unwrap_or_default(),
                text: clean(&pretty(&request.body)),
            }
        };
        Self {
            requests: requests.iter().map(tell).collect(),
        }
    }

    pub(crate) async fn of_stream(
        jetstream: &jetstream::Context,
        name: &str,
        names: &BTreeMap<String, String>,
    ) -> Self {
        let stream = jetstream.get_stream(name).await.expect("the stream is there");
        let mut requests = Vec::new();
        for seq in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(seq).await.expect("it is stored");
            let headers = message.headers.iter().map(|(name, values)| {
                let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
                (name.to_string(), cleaned(&values.join(", "), names))
            });
            requests.push(Told {
                path: cleaned(&message.subject, names),
                headers: headers.collect(),
                body: Value::Null,
                text: cleaned(&pretty(&message.payload), names),
            });
        }
        Self { requests }
    }

    /// Mails as their reader has them: the headers decoded, the text, and then the HTML.
    pub(crate) fn of_mails(mails: &[Mail], names: &BTreeMap<String, String>) -> Self {
        let tell = |mail: &Mail| {
            let headers = mail.headers.iter().map(|(name, value)| {
                let value = match name.as_str() {
                    // When the event was accepted.
                    "Date" => "<now>".to_owned(),
                    _ => cleaned(value, names),
                };
                (name.clone(), value)
            });
            let both = format!("{}\n{}", mail.text.trim_end(), mail.html).replace("\r\n", "\n");
            Told {
                path: format!("MAIL FROM <{}> TO <{}>", mail.mail_from, mail.rcpt_to.join(">, <")),
                headers: headers.collect(),
                body: Value::Null,
                text: cleaned(&both, names),
            }
        };
        Self {
            requests: mails.iter().map(tell).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for request in &self.requests {
            text.push_str(&format!("==== {}\n", request.path));
            for (name, value) in &request.headers {
                text.push_str(&format!("{name}: {value}\n"));
            }
            text.push_str(&format!("\n{}\n\n", request.text.trim_end()));
        }
        with_ids_numbered(&with_marks_numbered(&text))
    }

    /// Compares it with its file in a folder beside this one, or writes that.
    pub(crate) fn check_that_it_is_known(&self, folder: &str, name: &str, wrong: &mut Vec<String>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("e2e/{folder}/{name}.txt"));
        let text = self.text();
        if std::env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
            fs::write(&path, &text).expect("the file can be written");
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        if text != known {
            let place = text.lines().zip(known.lines()).position(|(new, old)| new != old);
            let line = |text: &str| {
                text.lines()
                    .nth(place.unwrap_or_default())
                    .unwrap_or_default()
                    .to_owned()
            };
            wrong.push(format!(
                "{name}, line {:?}: {} instead of {}",
                place,
                line(&text),
                line(&known)
            ));
        }
    }
}

/// Marks are of this run: each is written as its number, so that one that comes again is known.
fn with_marks_numbered(text: &str) -> String {
    let mut known: Vec<&str> = Vec::new();
    let mut parts = text.split(MARK);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_of_hash = |letter: &u8| letter.is_ascii_alphanumeric() || b"-_".contains(letter);
        let length = part.bytes().take_while(is_of_hash).count();
        out.push_str(MARK);
        if length != MARK_CHARS {
            out.push_str(part);
            continue;
        }
        let (mark, rest) = part.split_at(length);
        let number = known.iter().position(|one| *one == mark).unwrap_or_else(|| {
            known.push(mark);
            known.len() - 1
        });
        out.push_str(&format!("<mark {}>{rest}", number + 1));
    }
    out
}

/// Ids of our choice are of this run where they are made of the integration's: UUIDs of the fourth version. Each is written as
/// its number, so that one that comes again is known.
fn with_ids_numbered(text: &str) -> String {
    let mut known: Vec<&str> = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let Some((id, behind)) = rest.split_at_checked(ID_BYTES).filter(|(id, _)| is_chosen(id)) else {
            out.push(letter);
            rest = rest.split_at(letter.len_utf8()).1;
            continue;
        };
        let number = known.iter().position(|one| *one == id).unwrap_or_else(|| {
            known.push(id);
            known.len() - 1
        });
        out.push_str(&format!("<id {}>", number + 1));
        rest = behind;
    }
    out
}

/// Whether a text is such an id. One that begins with zeros is a double's.
fn is_chosen(text: &str) -> bool {
    let fits = |(place, byte): (usize, u8)| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        14 => byte == b'4',
        _ => byte.is_ascii_hexdigit(),
    };
    text.bytes().enumerate().all(fits) && !text.starts_with("00000000")
}

/// A signature is of this run, and so are the time that it is made with and the hash of a body.
fn header(name: &str, value: String) -> String {
    let signs = ["AWS4-HMAC-SHA256 ", "Bearer eyJ"];
    if name.ends_with("signature") || signs.iter().any(|sign| value.starts_with(sign)) {
        "<signature>".to_owned()
    } else if name == "x-amz-date" {
        "<now>".to_owned()
    } else if name == "x-amz-content-sha256" {
        "<hash>".to_owned()
    } else {
        value
    }
}

/// JSON with one member a line, also where each line is a document of its own; any other text as it is.
fn pretty(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let whole = serde_json::from_slice::<Value>(body).map(|value| vec![value]);
    let documents = whole.or_else(|_| text.lines().map(serde_json::from_str).collect());
    match documents {
        Ok(documents) => documents.iter().map(|document| format!("{document:#}\n")).collect(),
        Err(_) => text.into_owned(),
    }
}

/// Seconds since 1970.
fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("the clock is behind 1970").as_secs()
}

/// How a request names the program that sends it.
const CLIENT: &str = concat!("signalbox/", env!("CARGO_PKG_VERSION"));

/// How a body names its version.
const SDK: &str = concat!("\"", env!("CARGO_PKG_VERSION"), "\"");

/// A text with names for what differs with each run or version: ids, the times of requests, our version.
fn cleaned(text: &str, names: &BTreeMap<String, String>) -> String {
    let mut text = text.replace(CLIENT, "signalbox/VERSION").replace(SDK, "\"VERSION\"");
    for (id, name) in names {
        text = text.replace(id, name);
    }
    let is_now = |text: &str| {
        let time = text
            .parse::<Timestamp>()
            .ok()
            .and_then(|time| u64::try_from(time.secs()).ok());
        time.is_some_and(|secs| secs.abs_diff(seconds()) < RUN_SECS)
    };
    let quoted = text.split('"').map(|part| if is_now(part) { "<now>" } else { part });
    let text = quoted.collect::<Vec<_>>().join("\"");
    let now = seconds();
    let is_part = |letter: char| letter.is_ascii_alphanumeric();
    let mut out = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\n']) {
        if is_part(letter) {
            word.push(letter);
            continue;
        }
        let secs = word.get(..10).filter(|_| [10, 13, 16, 19].contains(&word.len()));
        let secs = secs
            .filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|secs| secs.parse::<u64>().ok());
        let is_hash = word.len() == 32
            && word.bytes().all(|byte| byte.is_ascii_hexdigit())
            && word.bytes().any(|byte| byte.is_ascii_digit());
        match secs {
            Some(secs) if secs.abs_diff(now) < RUN_SECS => out.push_str("<now>"),
            _ if is_hash => out.push_str("<hash>"),
            _ => out.push_str(&word),
        }
        word.clear();
        out.push(letter);
    }
    out.pop();
    out
}
