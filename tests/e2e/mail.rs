//! The provider `email` against a mail server that others wrote: what a reader gets, what is refused, and what is left of a
//! thousand mails when their server goes away.

mod restarts;

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::harness::{Client, Mail, MailServer, Publish, Up, eventually, messages};

const SOON: Duration = Duration::from_secs(60);
/// What every mail has, and no other header.
const HEADERS: [&str; 8] = [
    "Auto-Submitted",
    "Content-Type",
    "Date",
    "From",
    "MIME-Version",
    "Message-ID",
    "Subject",
    "To",
];
/// Bytes of a line at most (RFC 5322, section 2.1.1).
const LINE_BYTES_MAX: usize = 998;

async fn publish(client: &Client, event_type: &str, id: &str, data: Value) {
    client.publish(Publish::of(event_type, &data).id(id)).await;
}

/// What holds for all mails, whatever is in them.
fn is_sound(mail: &Mail) {
    let mut names: Vec<&str> = mail.names.iter().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, HEADERS, "each header once: {mail:?}");
    assert_eq!(mail.defects, Vec::<String>::new(), "{mail:?}");
    assert_eq!(
        mail.types,
        ["multipart/alternative", "text/plain", "text/html"],
        "{mail:?}"
    );
    assert_eq!(mail.from, ["Signalbox <signalbox@example.com>"], "{mail:?}");
    assert_eq!(mail.mail_from, "signalbox@example.com", "{mail:?}");
    assert_eq!(mail.headers["Auto-Submitted"], "auto-generated");
    assert!(mail.is_ascii && mail.longest_line <= LINE_BYTES_MAX, "{mail:?}");
    assert!(mail.by_tls, "{mail:?}");
    assert_eq!(mail.login.as_deref(), Some("signalbox"));
}

/// The id of the only delivery of an event.
async fn delivery_id(client: &Client, event: &str, status: &str) -> String {
    let delivery = client.delivery(event, status, SOON).await;
    delivery["id"].as_str().expect("an id").to_owned()
}

/// A delivery with all its attempts.
async fn history(client: &Client, id: &str) -> String {
    client.get(&format!("/v1/deliveries/{id}")).await.to_string()
}

/// The message of the only dead letter of an event.
async fn dead(client: &Client, event: &str) -> String {
    let found = eventually(SOON, &format!("{event} is a dead letter"), async || {
        let letters = client.dead_letters("").await;
        let found = letters.into_iter().find(|letter| letter["event"]["id"] == event);
        found.ok_or_else(|| "no such dead letter".to_owned())
    })
    .await;
    found["message"].as_str().expect("a message").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_come_over_both_kinds_of_tls_to_those_who_are_named_for_the_type() {
    let starttls = MailServer::start().await;
    let implicit = MailServer::start_implicit().await;
    let up = Up::start_with(MailServer::trusted(&[&starttls, &implicit])).await;
    let client = up.client();
    let to = json!({
        "recipients": { "execution.failed": ["Größe, On Call <oncall@example.com>"], "pr.*": ["reviewers@example.com"] },
        "to_addresses": ["archive@example.com"],
    });
    let mut wrong = starttls.integration("wrong", &["no.such"], to.clone());
    wrong["credentials"]["password"] = "hush wrong".into();
    client
        .apply(json!([
            starttls.integration("starttls", &["execution.*"], to.clone()),
            implicit.integration("implicit", &["pr.*"], to),
            wrong,
        ]))
        .await;
    for (name, status, code) in [
        ("starttls", "success", 250),
        ("implicit", "success", 250),
        ("wrong", "failed", 535),
    ] {
        let tested = client.post(&format!("/v1/integrations/{name}/test"), json!({})).await;
        assert_eq!(
            (&tested["status"], &tested["response_code"]),
            (&json!(status), &json!(code)),
            "{tested}"
        );
        if status == "failed" {
            let why = tested["message"].as_str().unwrap_or_default();
            assert!(why.contains("the login is wrong"), "{tested}");
        }
    }
    assert!(
        starttls.mails().is_empty() && implicit.mails().is_empty(),
        "a test sends nothing"
    );

    let error = "no space left on <device> & more\n.\nFrom the log: „größe“ 日本語";
    publish(
        client,
        "execution.failed",
        "one",
        json!({ "agent_name": "builder", "error": error }),
    )
    .await;
    publish(
        client,
        "pr.created",
        "two",
        json!({ "title": "Größe ändern 👩‍👩‍👧‍👦", "reviewers": ["ann"] }),
    )
    .await;
    for (event, server, to, subject, says) in [
        (
            "one",
            &starttls,
            ["archive@example.com", "oncall@example.com"],
            "[Signalbox] Execution Failed",
            "no space left on <device> & more",
        ),
        (
            "two",
            &implicit,
            ["archive@example.com", "reviewers@example.com"],
            "Größe ändern 👩‍👩‍👧‍👦",
            "Größe ändern 👩‍👩‍👧‍👦",
        ),
    ] {
        let id = delivery_id(client, event, "delivered").await;
        let mails = server.mails();
        let [mail] = mails.as_slice() else {
            panic!("one mail for {event}: {mails:?}");
        };
        is_sound(mail);
        assert_eq!(mail.id, format!("<{id}@example.com>"));
        assert_eq!(
            (mail.to.as_slice(), mail.rcpt_to.as_slice()),
            (&to.map(str::to_owned)[..], &to.map(str::to_owned)[..])
        );
        assert!(mail.subject.contains(subject), "{mail:?}");
        assert!(mail.text.contains(says), "{mail:?}");
        let escaped = says.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert!(mail.html.contains(&escaped), "{mail:?}");
    }
    let one = &starttls.mails()[0];
    assert_eq!(
        one.headers["To"],
        "archive@example.com, \"Größe, On Call\" <oncall@example.com>"
    );
    assert!(
        one.text.replace("\r\n", "\n").contains("From the log: „größe“ 日本語"),
        "{one:?}"
    );

    client.settled(SOON).await;
    let shown = client.get("/v1/integrations?limit=200").await.to_string();
    assert!(!shown.contains("hush") && !up.log().contains("hush"), "{shown}");
    for (place, bytes) in messages::everything(client.nats_url()).await {
        assert!(
            !bytes.windows(5).any(|window| window == b"hush "),
            "{place} holds a password"
        );
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_an_event_holds_becomes_a_header_a_recipient_or_the_end_of_its_mail() {
    let server = MailServer::start().await;
    let up = Up::start_with(MailServer::trusted(&[&server])).await;
    let client = up.client();
    let to = json!({ "to_addresses": ["ops@example.com"] });
    let mut templated = server.integration("templated", &["alert.*"], to.clone());
    templated["template"] =
        json!({ "title": "{{ event.data.title|truncate(200) }}", "body": "{{ event.data.message }}" });
    client
        .apply(json!([server.integration("own", &["alert.*"], to), templated]))
        .await;
    let evil = "Bcc: evil@example.com";
    let texts = [
        format!("x\r\n{evil}"),
        format!("x\n{evil}\n\n<b>a body</b>"),
        format!("x\r{evil}\u{0}\u{b}\u{c}"),
        format!("x\u{85}{evil}\u{2028}{evil}\u{2029}"),
        format!("x\r\n.\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<evil@example.com>\r\nDATA\r\n{evil}"),
        format!("x\n.\n\r.\r\n{evil}"),
        format!("=?utf-8?q?x=0D=0A{}?=", evil.replace(' ', "_")),
        format!("=?utf-8?b?eA0KQmNjOiBldmlsQGV4YW1wbGUuY29t?= {evil}"),
        format!("{} {evil}", "x".repeat(2_000)),
        format!("{} {evil}", "👩‍👩‍👧‍👦".repeat(60)),
        format!("--=_signalbox_0\r\nContent-Type: text/html\r\n\r\n{evil}\r\n--=_signalbox_0--"),
        format!("\"><script>alert(1)</script> {evil}"),
    ];
    for (number, text) in texts.iter().enumerate() {
        let mut data = json!({ "title": text, "message": text, "error": text, "agent_name": text });
        data[text.as_str()] = text.as_str().into();
        publish(client, "alert.created", &format!("hostile-{number}"), data).await;
    }
    let ledger = client.settled(SOON).await;
    let dead = client.get("/v1/dead-letters?limit=50").await;
    assert_eq!(ledger["delivered"], 2 * texts.len(), "{ledger}, {dead}");
    let mails = server.mails();
    assert_eq!(mails.len(), 2 * texts.len());
    let ids: BTreeSet<&str> = mails.iter().map(|mail| mail.id.as_str()).collect();
    assert_eq!(ids.len(), mails.len(), "none is two");
    for mail in &mails {
        is_sound(mail);
        assert_eq!(
            (&mail.to, &mail.rcpt_to),
            (&vec!["ops@example.com".to_owned()], &mail.to),
            "{mail:?}"
        );
        assert!(
            mail.text.contains('x') || mail.text.contains("👩‍👩‍👧‍👦") || mail.text.contains("signalbox"),
            "{mail:?}"
        );
        assert!(
            !mail.html.contains("<script") && !mail.html.contains("<b>a body"),
            "{mail:?}"
        );
    }
    // What they hold is shown for what it is: in each text, and in those subjects that have room for it.
    let shown = |mail: &&Mail| mail.text.contains("evil@example.com") || mail.text.contains("evil=40example.com");
    assert!(mails.iter().filter(shown).count() >= mails.len() - 4, "{mails:#?}");
    assert!(mails.iter().any(|mail| mail.subject.contains(evil)), "{mails:#?}");

    // Nor does what an owner writes.
    for (field, value) in [
        ("from", json!("a@example.com\r\nBcc: evil@example.com")),
        ("from", json!("Ops\nBcc: evil@example.com <a@example.com>")),
        ("to_addresses", json!(["a@example.com>\r\nRCPT TO:<evil@example.com"])),
        (
            "recipients",
            json!({ "alert.*": ["a@example.com\nBcc: evil@example.com"] }),
        ),
    ] {
        let mut own = json!({ "to_addresses": ["ops@example.com"] });
        own[field] = value;
        let answer = client
            .try_apply(json!([server.integration("refused", &["alert.*"], own)]))
            .await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(answer.text().contains(&format!("config/{field}")), "{}", answer.text());
        assert!(!answer.text().contains("evil"), "{}", answer.text());
    }
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_now_comes_again_and_what_is_refused_for_good_is_told() {
    let server = MailServer::start().await;
    let up = Up::start_with(MailServer::trusted(&[&server])).await;
    let client = up.client();
    let to = |addresses: Value| json!({ "to_addresses": addresses });
    let mut strange = to(json!(["ops@example.com"]));
    strange["from"] = "stranger@example.com".into();
    let mut all = vec![
        server.integration(
            "mixed",
            &["tick.mixed"],
            to(json!(["ann@example.com", "later@example.com", "nobody@example.com"])),
        ),
        server.integration(
            "later",
            &["tick.later"],
            to(json!(["ann@example.com", "later-too@example.com"])),
        ),
        server.integration("one", &["alert.created"], to(json!(["ops@example.com"]))),
        server.integration("strange", &["tick.strange"], strange),
        server.integration(
            "typed",
            &["tick.typed"],
            json!({ "recipients": { "alert.*": ["ops@example.com"] } }),
        ),
        server.integration(
            "full",
            &["tick.full", "tick.fine"],
            json!({ "recipients": { "tick.full": ["full@example.com"], "tick.fine": ["fine@example.com"] } }),
        ),
    ];
    for one in &mut all {
        one["retry"] = json!({ "schedule": ["1s", "1s"] });
    }
    all[4]["retry"] = json!({ "schedule": ["1h"] });
    client.apply(json!(all)).await;
    for (event_type, id, title) in [
        ("tick.mixed", "mixed", "x"),
        ("tick.later", "later", "x"),
        ("alert.created", "busy", "busy"),
        ("alert.created", "never", "never"),
        ("tick.strange", "strange", "x"),
        ("tick.full", "full", "x"),
        ("tick.typed", "typed", "x"),
    ] {
        publish(client, event_type, id, json!({ "title": title })).await;
    }
    let of = |id: &str| -> Vec<Mail> {
        let all = server.mails().into_iter();
        all.filter(|mail| mail.id == format!("<{id}@example.com>")).collect()
    };
    // Who was put off gets it in a transaction of its own, and nobody gets it twice.
    let later = of(&delivery_id(client, "later", "delivered").await);
    let mixed = of(&delivery_id(client, "mixed", "dead").await);
    for (mails, second) in [(later, "later-too@example.com"), (mixed, "later@example.com")] {
        let to: Vec<&[String]> = mails.iter().map(|mail| mail.rcpt_to.as_slice()).collect();
        assert_eq!(to, [["ann@example.com".to_owned()], [second.to_owned()]], "{mails:?}");
        assert_eq!(mails[0].sha256, mails[1].sha256, "a repeat is the same mail");
        mails.iter().for_each(is_sound);
    }
    let told = dead(client, "mixed").await;
    assert!(
        told.contains("1 of 3 recipients, the others have it: config/to_addresses/2 (550 5.1.1"),
        "{told}"
    );
    assert!(
        !told.contains("nobody@") && !told.contains("no such user"),
        "codes alone: {told}"
    );

    let busy = delivery_id(client, "busy", "delivered").await;
    assert_eq!(of(&busy).len(), 1);
    let tried = history(client, &busy).await;
    assert!(tried.contains("451 4.3.0"), "the first attempt is on record: {tried}");
    for (event, why) in [("never", "554 5.6.0"), ("typed", "no recipient gets tick.typed")] {
        let told = dead(client, event).await;
        assert!(told.contains(why), "{event}: {told}");
    }
    // A mailbox that is full holds up its own mails alone; a sender who is refused is for the owner to mend.
    for (event, why) in [("full", "452 4.2.2"), ("strange", "550 5.7.1")] {
        eventually(SOON, &format!("{event} is on record, and waits"), async || {
            let story = client.trace(event).await?.to_string();
            if story.contains(why) { Ok(()) } else { Err(story) }
        })
        .await;
    }
    publish(client, "tick.fine", "fine", json!({})).await;
    client.delivery("fine", "delivered", Duration::from_secs(15)).await;
    assert_eq!(client.integration("full").await["status"], "active");
    assert_eq!(server.mails().len(), 6, "and nothing else");
    up.stop().await;
}
