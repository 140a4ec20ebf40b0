use mail_parser::MessageParser;

use super::*;

fn mailbox(text: &str) -> Mailbox {
    super::super::recipients::mailbox("p", text).expect("a mailbox")
}

fn written(subject: &str, text: &str, html: &str) -> String {
    let from = mailbox("Ops <ops@example.com>");
    let to = mailbox("ann@example.com");
    let head = Head {
        from: &from,
        to: vec![&to],
        id: "d-1",
        date: Timestamp::from_secs(1_767_225_605),
    };
    let page = Page {
        subject: subject.to_owned(),
        text: text.to_owned(),
        html: html.to_owned(),
    };
    String::from_utf8(write(head, page).to_vec()).expect("ASCII")
}

/// What a reader makes of a subject.
fn read(subject: &str) -> String {
    let mail = written(subject, "text", "<p>text</p>");
    let parsed = MessageParser::default().parse(mail.as_bytes()).expect("a mail");
    let header = mail.split_once("Subject: ").expect("a subject").1;
    for line in header.split("\r\n").take_while(|line| !line.starts_with("Date")) {
        assert!(line.len() <= 76, "{line}");
    }
    parsed.subject().expect("a subject").to_owned()
}

#[test]
fn subjects_come_back_as_they_were() {
    let long =
        "[Signalbox] Canary Deployment Started: a rather long title of an event that needs several lines to be told";
    let word = format!("[Signalbox] {}", "x".repeat(150));
    let signs = format!("[Signalbox] {}", "👩‍👩‍👧‍👦".repeat(7));
    for subject in [
        "[Signalbox] Execution Failed",
        long,
        &word,
        &signs,
        "[Signalbox] =?utf-8?B?aGlkZGVu?= text",
        "[Signalbox] ❌ Größe \u{2068}مرحبا\u{2069} 日本語",
        "a",
    ] {
        assert_eq!(read(subject), subject);
    }
}

#[test]
fn signs_that_are_made_of_several_characters_are_not_parted() {
    let family = "👩‍👩‍👧‍👦";
    let words = encoded(&family.repeat(6), 9);
    for word in words.split("\r\n ") {
        let inside = word.strip_prefix("=?utf-8?B?").and_then(|word| word.strip_suffix("?="));
        let text = STANDARD.decode(inside.expect("a word")).expect("base64");
        let text = String::from_utf8(text).expect("whole characters");
        assert_eq!(text.replace(family, ""), "", "{text}");
    }
}

#[test]
fn a_text_ends_neither_its_part_nor_the_mail() {
    let text =
        "a\n.\n..\n--=_signalbox_d-1\nContent-Type: text/html\n\n<b>x</b>\n--=_signalbox_d-1--\nFrom x\n\nSubject: y\n";
    let mail = written("s", text, text);
    assert!(!mail.contains("\r\n.\r\n--"));
    let parsed = MessageParser::default().parse(mail.as_bytes()).expect("a mail");
    assert_eq!(parsed.parts.len(), 3);
    assert_eq!(
        parsed.body_text(0).expect("a text").replace("\r\n", "\n").trim_end(),
        text.trim_end()
    );
    assert_eq!(parsed.subject(), Some("s"));
}

#[test]
fn a_text_in_other_letters_is_in_base64_and_comes_back() {
    let text = "日本語のテキスト\n".repeat(200);
    let mail = written("s", &text, "<p>plain</p>");
    assert!(mail.contains("base64") && mail.contains("quoted-printable"), "{mail}");
    assert!(mail.split("\r\n").all(|line| line.len() <= 78));
    let parsed = MessageParser::default().parse(mail.as_bytes()).expect("a mail");
    assert_eq!(
        parsed.body_text(0).expect("a text").replace("\r\n", "\n").trim_end(),
        text.trim_end()
    );
}

#[test]
fn an_id_that_is_no_token_becomes_one() {
    assert_eq!(token("d-1_x"), "d-1_x");
    assert_eq!(token("a\r\nb> é"), "a__b___");
}
