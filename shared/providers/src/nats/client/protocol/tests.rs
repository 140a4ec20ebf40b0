use super::*;

fn read(text: &[u8]) -> Result<Option<Op>, Error> {
    next(&mut BytesMut::from(text))
}

#[test]
fn each_thing_that_a_server_says_is_read_once_and_leaves_what_follows() {
    let mut read = BytesMut::from(
        &b"INFO {\"headers\":true,\"max_payload\":9,\"nonce\":\"n\",\"connect_urls\":[\"10.0.0.1:4222\"]} \r\n\
           +OK\r\nPING\r\nMSG a.b 1 3\r\nabc\r\nHMSG a.c 1 re.ply 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n-ERR 'Stale Connection'\r\nPI"
            [..],
    );
    let mut seen = Vec::new();
    while let Some(op) = next(&mut read).expect("the protocol") {
        seen.push(op);
    }
    let [
        Op::Info(info),
        Op::Ok,
        Op::Ping,
        Op::Message(plain),
        Op::Message(headed),
        Op::Pong,
        Op::Error(text),
    ] = seen.as_slice()
    else {
        panic!("{seen:?}")
    };
    assert!(info.headers && info.max_payload == 9 && info.nonce == "n" && !info.tls_required && !info.ldm);
    assert_eq!(
        (plain.subject.as_str(), &plain.headers[..], &plain.body[..]),
        ("a.b", &b""[..], &b"abc"[..])
    );
    assert_eq!(
        (headed.subject.as_str(), &headed.headers[..], &headed.body[..]),
        ("a.c", &b"NATS/1.0\r\n\r\n"[..], &b"hi"[..])
    );
    assert!(!headed.is_no_responders());
    assert_eq!(text, "Stale Connection");
    assert_eq!(&read[..], b"PI", "what has not come whole is kept");
}

#[test]
fn a_message_is_taken_when_it_has_come_whole() {
    let whole = b"HMSG _INBOX.x.1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
    for end in 0..whole.len() {
        assert!(matches!(read(&whole[..end]), Ok(None)), "{end} bytes");
    }
    let Ok(Some(Op::Message(message))) = read(whole) else {
        panic!("a message")
    };
    assert!(message.is_no_responders());
}

#[test]
fn what_is_not_the_protocol_is_refused() {
    for text in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"\r\n",
        b"INFO nonsense\r\n",
        b"\xff\xfe\r\n",
        b"MSG a 1\r\n",
        b"MSG a 1 x\r\n",
        b"MSG a 1 -1\r\n",
        b"MSG a 1 99999999999999999999\r\n",
        b"MSG a 1 2 3 4\r\n",
        b"HMSG a 1 5 4\r\nabcd\r\n",
        b"MSG a 1 3\r\nabcdef\r\n",
    ] {
        assert!(matches!(read(text), Err(Error::Protocol(_))), "{}", text.escape_ascii());
    }
}

#[test]
fn a_server_cannot_make_us_hold_more_than_is_reasonable() {
    assert!(matches!(read(b"MSG a 1 65537\r\n"), Err(Error::Protocol(_))));
    assert!(matches!(read(b"MSG a 1 65536\r\n"), Ok(None)));
    let endless = vec![b'x'; LINE_BYTES_MAX + 1];
    assert!(matches!(read(&endless), Err(Error::Protocol(_))));
    let long = [&endless[..], b"\r\n"].concat();
    assert!(matches!(read(&long), Err(Error::Protocol(_))));
    assert!(matches!(read(&endless[1..]), Ok(None)));
}
