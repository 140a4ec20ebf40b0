use tokio::net::TcpListener;

use super::*;

#[test]
fn an_answer_is_read_when_all_of_it_is_there() {
    let whole = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\ndate: now\r\n\r\n{}";
    for cut in 0..whole.len() {
        assert_eq!(parse(&whole[..cut]).unwrap(), None, "{cut}");
    }
    let answer = Answer {
        status: 202,
        body: b"{}",
    };
    assert_eq!(parse(whole).unwrap(), Some(answer));
}

#[test]
fn what_it_does_not_speak_is_an_error() {
    for answer in [
        "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/2 202\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\ncontent-length: 1\r\n\r\n{}",
    ] {
        assert!(parse(answer.as_bytes()).is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn events_go_one_a_request_over_a_kept_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut requests = Vec::new();
        for _ in 0..3 {
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            requests.push(String::from_utf8(request).unwrap());
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).await.unwrap();
        }
        requests
    };
    let mut publisher = HttpPublisher::new(&api, "sbx_key").unwrap();
    let publish = async {
        for event in 0..3 {
            let pace = Pace { events: 1, rate: 0 };
            publisher
                .publish(pace, |_, body| body.push_str(&format!("{{\"event\":{event}}}")))
                .await
                .unwrap();
        }
    };
    let (requests, ()) = tokio::join!(serve, publish);
    for (event, request) in requests.iter().enumerate() {
        assert!(request.starts_with("POST /v1/events HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nauthorization: Bearer sbx_key\r\n"), "{request}");
        assert!(
            request.ends_with(&format!("\r\ncontent-length: 11\r\n\r\n{{\"event\":{event}}}")),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_an_error_with_the_servers_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let mut publisher = HttpPublisher::new(&api, "sbx_key").unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0);
        let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 6\r\n\r\nno key";
        stream.write_all(answer).await.unwrap();
    };
    let publish = publisher.publish(Pace { events: 1, rate: 0 }, |_, body| body.push_str("{}"));
    let ((), published) = tokio::join!(serve, publish);
    let error = format!("{:#}", published.unwrap_err());
    assert!(error.contains("401: no key"), "{error}");
}
