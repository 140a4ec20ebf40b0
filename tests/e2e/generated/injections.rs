//! Texts that mean something to SQL, NATS, HTTP, file systems, templates and parsers, in every parameter and every
//! field of every route: nothing breaks, and nobody else sees anything of it.

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    bodies,
    document::{Operation, Told, encoded},
    world::World,
};
use crate::harness::{client::Response, client::try_request};

/// Requests under way at a time.
const AT_ONCE: usize = 6;
/// How long a raw request waits for the first part of its answer.
const RAW_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Texts that somebody takes for more than text.
const TEXTS: [&str; 30] = [
    "' or 1=1--",
    "'; drop table integrations; --",
    "\" or \"\"=\"",
    "%",
    "_",
    "%' escape '\\",
    "$1",
    "\0",
    "a\0b",
    "*",
    ">",
    "a.b.>",
    ".",
    "..",
    "a b",
    "oncall' union select * from api_keys --",
    "\r\nX-Injected: yes",
    "\n",
    "../../../../etc/passwd",
    "..\\..\\admin.key",
    "/etc/passwd",
    "{{ 7 * 7 }}{% for x in range(999999999) %}x{% endfor %}",
    "event.data == null || true",
    "${ADMIN_KEY} $(id) `id`",
    "99999999999999999999999999999999999999999",
    "-1",
    "1e400",
    "\u{202e}gnp.exe\u{200b}\u{feff}",
    "e\u{301}\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{10ffff}",
    "sbx_***",
];
/// Parts of an address as they stand, so that nothing on the way mends them.
const RAW_PARTS: [&str; 12] = [
    "%00",
    "%0d%0aX-Injected:%20yes",
    "%ff%fe",
    "%c0%af",
    "%ed%a0%80",
    "..%2f..%2f",
    "%2e%2e",
    "..",
    "%",
    "%zz",
    ";a=b",
    "*",
];
/// JSON in the place of a value.
const JSONS: [&str; 12] = [
    "1e400",
    "-0.0",
    "123456789012345678901234567890123456789012345678901234567890",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\"",
    "{\"\":{\"$ref\":\"#\"}}",
    "[[[[[[[[]]]]]]]]",
    "{\"a\":1,\"a\":2}",
    "null",
    "true",
    "NaN",
];

/// One request.
struct Shot {
    what: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// Things go last that take things away, so that the others find theirs.
fn ends_things(operation: &Operation) -> bool {
    let action = operation.audit.first().map_or("", String::as_str);
    let ends = [
        "deleted",
        "revoked",
        "rotated",
        "discarded",
        "erased",
        "deactivated",
        "paused",
    ];
    operation.method == "DELETE" || ends.iter().any(|end| action.ends_with(end))
}

/// All requests of one operation.
fn shots(operation: &Operation, world: &World) -> Vec<Shot> {
    let address = World::address(operation, &world.acme);
    let body = || operation.body.as_ref().map(|body| body.to_string().into_bytes());
    let mut all = Vec::new();
    for param in &operation.params {
        for text in TEXTS {
            let what = format!("{} {} = {text:?}", param.place, param.name);
            let (mut path, mut headers) = (address.clone(), Vec::new());
            match param.place.as_str() {
                "path" => path = operation.address(text),
                "query" => path = format!("{address}?{}={}", param.name, encoded(text)),
                // What cannot stand in a header at all is sent byte by byte elsewhere.
                _ if text.contains(['\r', '\n', '\0']) => continue,
                _ => headers.push((param.name.clone(), text.to_owned())),
            }
            let body = body();
            all.push(Shot {
                what,
                path,
                headers,
                body,
            });
        }
        for part in RAW_PARTS {
            let what = format!("{} {} is {part:?} as it stands", param.place, param.name);
            let path = match param.place.as_str() {
                "path" => operation.path.replace(&format!("{{{}}}", param.name), part),
                "query" => format!("{address}?{}={part}", param.name),
                _ => continue,
            };
            all.push(Shot {
                what,
                path,
                headers: Vec::new(),
                body: body(),
            });
        }
    }
    let Some(example) = &operation.body else { return all };
    let mut add = |what: String, text: String| {
        all.push(Shot {
            what,
            path: address.clone(),
            headers: Vec::new(),
            body: Some(text.into_bytes()),
        });
    };
    for place in bodies::leaves(example) {
        for text in TEXTS {
            let body = bodies::with(example, &place, json!(text));
            add(format!("{place} = {text:?}"), body.to_string());
        }
        for text in JSONS {
            add(format!("{place} = {text}"), bodies::with_text(example, &place, text));
        }
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
            add(format!("{place} is deep"), bodies::with_text(example, &place, &deep));
        }
    }
    for text in TEXTS {
        add(format!("a field {text:?}"), json!({ text: text }).to_string());
    }
    for text in [
        "",
        " ",
        "[]",
        "[{}]",
        "1",
        "null",
        "\"\"",
        "{",
        "{\"a\":}",
        "\u{feff}{}",
        "{}{}",
    ] {
        add(format!("the body is {text:?}"), text.to_owned());
    }
    all.push(Shot {
        what: "the body is no UTF-8".to_owned(),
        path: address.clone(),
        headers: Vec::new(),
        body: Some(b"{\"\xff\xfe\": \"\xed\xa0\x80\"}".to_vec()),
    });
    all
}

async fn shoot(world: &World, key: &str, operation: &Operation, shot: &Shot) -> Option<Response> {
    let (base, _) = world.up.client().publishing();
    let authorization = format!("Bearer {key}");
    let mut headers = vec![("authorization", authorization.as_str())];
    if shot.body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    headers.extend(shot.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let body = shot.body.clone().unwrap_or_default();
    match try_request(base, &operation.method, &shot.path, &headers, body).await {
        Ok(answer) => Some(answer),
        // Our own client refuses to send some of it.
        Err(error) if error.contains("invalid uri") || error.contains("header") => None,
        Err(error) => panic!("{operation}, {}: {error}", shot.what),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_in_any_parameter_or_field_breaks_anything_or_reaches_another_org() {
    let world = World::start().await;
    let before = world.view(&world.bolt).await;
    let marks = world.bolt.marks();
    let mut operations: Vec<&Operation> = world.document.behind_a_key().filter(|it| !it.is_stream()).collect();
    operations.sort_by_key(|operation| (!operation.takes_org(), ends_things(operation)));
    let mut told = Told::default();
    let mut count = 0;
    let mut is_compared = false;
    for operation in operations {
        // What is for the installation alone is asked by the installation, and last: it may concern all orgs.
        if !operation.takes_org() && !is_compared {
            is_compared = true;
            let after = world.view(&world.bolt).await;
            for (path, seen) in &before {
                assert_eq!(
                    after.get(path),
                    Some(seen),
                    "{path} looks otherwise to an org that did nothing"
                );
            }
        }
        let key = if operation.takes_org() {
            world.acme.key.text.as_str()
        } else {
            world.root()
        };
        let all = shots(operation, &world);
        let answers = stream::iter(all).map(|shot| async {
            let answer = shoot(&world, key, operation, &shot).await;
            (shot, answer)
        });
        let mut answers = std::pin::pin!(answers.buffer_unordered(AT_ONCE));
        while let Some((shot, answer)) = answers.next().await {
            let Some(answer) = answer else { continue };
            count += 1;
            let text = answer.text();
            // Another address than the one of the route has no entry in the document.
            let is_elsewhere = [404, 405].contains(&answer.status)
                && ["no_route", "method_not_allowed"].contains(&code(&answer).as_str());
            let is_other_route = shot.path.contains("/..")
                || !shot
                    .path
                    .starts_with(operation.path.split('{').next().unwrap_or_default());
            assert!(
                answer.headers.get("x-injected").is_none(),
                "{operation}, {}: {text}",
                shot.what
            );
            if !is_elsewhere && !is_other_route {
                told.add(operation, &shot.what, &answer);
            }
            assert!(answer.status < 500, "{operation}, {}: {text}", shot.what);
            if operation.takes_org() {
                let given = String::from_utf8_lossy(shot.body.as_deref().unwrap_or_default()).into_owned() + &shot.path;
                let seen = marks.iter().find(|mark| text.contains(*mark) && !given.contains(*mark));
                assert_eq!(seen, None, "{operation}, {}: {text}", shot.what);
            }
        }
    }
    assert!(count > 3_000, "{count}");
    eprintln!("{count} requests");
    assert!(is_compared);
    world.document.holds(&told).await;
    world.up.stop().await;
}

fn code(answer: &Response) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["code"].as_str().unwrap_or_default().to_owned()
}

/// Sends bytes as they are; what comes back, up to a bound.
async fn raw(base: &str, bytes: &[u8]) -> Vec<u8> {
    let authority = base.strip_prefix("http://").unwrap_or(base).trim_end_matches('/');
    let mut stream = TcpStream::connect(authority).await.expect("the API takes a connection");
    stream.write_all(bytes).await.expect("the request is sent");
    let mut answer = vec![0; 64 * 1024];
    let mut length = 0;
    // It is closed behind the answer, or at once.
    while let Ok(Ok(read)) = timeout(RAW_TIMEOUT, stream.read(&mut answer[length..])).await {
        length += read;
        if read == 0 || length == answer.len() {
            break;
        }
    }
    answer.truncate(length);
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_no_header_may_hold_are_refused_and_never_sent_back() {
    let world = World::start().await;
    let (base, _) = world.up.client().publishing();
    let key = &world.acme.key.text;
    let bytes: [&[u8]; 7] = [
        b"a\rX-Injected: yes",
        b"a\nX-Injected: yes",
        b"a\0b",
        b"a\x7fb",
        b"\xff\xfe",
        b"a\r\n X-Injected: yes",
        &[b'a'; 70_000],
    ];
    for operation in world.document.behind_a_key().filter(|it| !it.is_stream()) {
        let mut names: Vec<&str> = vec!["Authorization", "X-Request-Id", "Content-Type", "Host"];
        let headers = operation.params.iter().filter(|param| param.place == "header");
        names.extend(headers.map(|param| param.name.as_str()));
        for name in names {
            for value in bytes {
                let address = operation.address("no-such-thing");
                let mut request =
                    format!("{} {address} HTTP/1.1\r\nConnection: close\r\n", operation.method).into_bytes();
                if name != "Host" {
                    request.extend_from_slice(b"Host: here\r\n");
                }
                if name != "Authorization" {
                    request.extend_from_slice(format!("Authorization: Bearer {key}\r\n").as_bytes());
                }
                request.extend_from_slice(name.as_bytes());
                request.extend_from_slice(b": ");
                request.extend_from_slice(value);
                request.extend_from_slice(b"\r\n\r\n");
                let answer = raw(base, &request).await;
                let text = String::from_utf8_lossy(&answer);
                let head = text.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
                assert!(!head.contains("\nx-injected"), "{operation}, {name}: {text}");
                let status = head.split(' ').nth(1).unwrap_or("closed");
                assert!(!status.starts_with('5'), "{operation}, {name}: {text}");
            }
        }
    }
    world.up.stop().await;
}
