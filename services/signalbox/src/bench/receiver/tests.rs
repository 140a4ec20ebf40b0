use super::{super::tally::Plan, *};

#[test]
fn a_request_is_read_when_all_of_it_is_there() {
    let whole = b"POST /i/17 HTTP/1.1\r\nhost: x\r\nContent-Length: 4\r\n\r\nbodyPOST";
    for cut in 0..whole.len() - 4 {
        assert_eq!(parse(&whole[..cut]), Ok(None), "{cut}");
    }
    let request = parse(whole).unwrap().unwrap();
    assert_eq!(
        request,
        Request {
            target: Target::Integration(17),
            head: "POST /i/17 HTTP/1.1\r\nhost: x\r\nContent-Length: 4\r\n\r\n",
            body: b"body",
            bytes: whole.len() - 4
        }
    );
    assert_eq!((request.header("host"), request.header("accept")), (Some("x"), None));
    let hanging = b"POST /hang HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(parse(hanging).unwrap().unwrap().target, Target::Hanging);
}

#[test]
fn what_it_does_not_speak_is_refused() {
    let check = |request: &str, refusal| assert_eq!(parse(request.as_bytes()), Err(refusal), "{request:?}");
    check("GET /i/1 HTTP/1.1\r\ncontent-length: 0\r\n\r\n", Refusal::Head);
    check("POST /i/1 HTTP/1.0\r\ncontent-length: 0\r\n\r\n", Refusal::Head);
    check("POST /i/x HTTP/1.1\r\ncontent-length: 0\r\n\r\n", Refusal::Path);
    check(
        "POST /i/1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        Refusal::Length,
    );
    check("POST /i/1 HTTP/1.1\r\ncontent-length: -1\r\n\r\n", Refusal::Length);
    check(
        "POST /i/1 HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n",
        Refusal::TooLarge,
    );
}

#[test]
fn the_event_is_named_wherever_its_id_stands() {
    let check = |body: &str, id: Option<&str>| assert_eq!(event_id(body.as_bytes()).as_deref(), id, "{body}");
    check(r#"{"id":"a-1","type":"x"}"#, Some("a-1"));
    check(r#"{ "type": "x", "data": {"id": "inner"}, "id": "a-1" }"#, Some("a-1"));
    check(r#"{"id":"a\"1"}"#, Some("a\"1"));
    check(r#"{"type":"x"}"#, None);
    check(r#"{"id":"cut"#, None);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_one_go() {
    let tally = Tally::new();
    let run = tally.begin(Plan {
        events: 2,
        types: 1,
        fanout: 1,
        types_answered: 1,
    });
    let receiver = Receiver::start(tally.clone()).await.unwrap();
    let mut requests = String::new();
    for event in 0..2 {
        let mut id = String::new();
        tally.write_id(run, event, &mut id);
        let body = format!(r#"{{"id":"{id}"}}"#);
        requests.push_str(&format!(
            "POST /i/0 HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
    }
    let mut stream = TcpStream::connect(("127.0.0.1", receiver.port)).await.unwrap();
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = vec![0; OK.len() * 2];
    stream.read_exact(&mut answers).await.unwrap();
    assert_eq!(answers, [OK, OK].concat());
    assert_eq!(tally.delivered(run), 2);
}
