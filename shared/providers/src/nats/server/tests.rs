use super::*;

fn shown(text: &str) -> Vec<String> {
    let servers = read("config/url", text).unwrap_or_else(|error| panic!("{text}: {error}"));
    servers.iter().map(ToString::to_string).collect()
}

#[test]
fn addresses_are_read_with_their_port_and_brought_into_one_form() {
    for (text, expected) in [
        ("tls://nats.example.com", &["tls://nats.example.com:4222"][..]),
        ("tls://nats.example.com:443", &["tls://nats.example.com:443"]),
        ("nats://nats.example.com:80", &["nats://nats.example.com:80"]),
        (" TLS://NATS.example.com:4222/ ", &["tls://nats.example.com:4222"]),
        ("nats://127.0.0.1:4333", &["nats://127.0.0.1:4333"]),
        // Any notation of an address is that address, so that rules for addresses see it.
        ("nats://2130706433:4222", &["nats://127.0.0.1:4222"]),
        ("nats://0x7f.1", &["nats://127.0.0.1:4222"]),
        ("nats://[::1]", &["nats://[::1]:4222"]),
        ("nats://[::1]:4333", &["nats://[::1]:4333"]),
        (
            "tls://a.example, tls://b.example:4223",
            &["tls://a.example:4222", "tls://b.example:4223"],
        ),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn rules_for_addresses_see_the_host_and_whether_there_is_tls() {
    let servers = read("config/url", "tls://a.example:443,nats://2130706433").expect("servers");
    let urls: Vec<&str> = servers.iter().map(|server| server.url().as_str()).collect();
    assert!(urls[0].starts_with("https://a.example"), "{urls:?}");
    assert!(urls[1].starts_with("http://127.0.0.1"), "{urls:?}");
    assert_eq!(servers[0].name(), &ServerName::try_from("a.example").expect("a name"));
    assert!(matches!(servers[1].name(), ServerName::IpAddress(_)));
}

#[test]
fn what_is_no_server_is_refused_and_no_password_is_repeated() {
    for text in [
        "",
        "nats.example.com:4222",
        "http://nats.example.com",
        "ws://nats.example.com",
        "wss://nats.example.com",
        "tls://",
        "tls:///",
        "tls://a.example:0",
        "tls://a.example:65536",
        "tls://a.example:x",
        "tls://a.example:",
        "tls://a.example/path",
        "tls://a.example?x=1",
        "tls://a.example#x",
        "tls://a b.example",
        "tls://a.example,",
        "tls://a.example,,tls://b.example",
        "tls://signalbox:hush@a.example",
        "tls://hush@a.example",
        "tls://[::1",
        &["tls://a.example"; 9].join(","),
        &format!("tls://{}.example", "a".repeat(3_000)),
    ] {
        let error = read("config/url", text).expect_err(text);
        assert_eq!(error.pointer, "config/url", "{text}");
        assert!(!error.message.contains("hush"), "{error}");
    }
}
