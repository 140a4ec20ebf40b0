use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

#[tokio::test]
async fn a_redirect_does_not_carry_the_key_elsewhere() {
    // The only failure is that another test has installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let target = elsewhere.local_addr().expect("an address");
    let api = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a call");
        let read = stream.read(&mut [0; 4_096]).await.expect("a request");
        assert!(read > 0);
        let answer =
            format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("an answer");
    });
    let client = Client::of(&url, Some("sbx_0123456789abcdef".into())).expect("a client");
    let call = client.get(&["doctor"], &[]);
    tokio::select! {
        answer = call => match answer {
            Err(Failure::Failed(error)) => assert!(error.to_string().contains("307"), "{error:#}"),
            other => panic!("{other:?}"),
        },
        _ = elsewhere.accept() => panic!("the redirect was followed"),
    }
    api.await.expect("the API answered");
}
