use super::*;

fn read(host: &str, port: u16, secure: bool) -> (String, Security, String) {
    let server = Server::read(host, port, secure).expect("a server");
    (server.to_string(), server.security(), server.url().to_string())
}

#[test]
fn the_port_and_secure_say_how_it_is_encrypted() {
    assert_eq!(
        read(" smtp.example.com ", 587, true),
        (
            "smtp://smtp.example.com:587".to_owned(),
            Security::StartTls,
            "https://smtp.example.com:587/".to_owned()
        )
    );
    assert_eq!(read("smtp.example.com", 25, true).1, Security::StartTls);
    assert_eq!(read("smtp.example.com", 2465, true).1, Security::Implicit);
    assert_eq!(read("smtp.example.com", 2587, true).1, Security::StartTls);
    assert_eq!(read("smtp.example.com", 25, false).1, Security::Opportunistic);
    assert_eq!(read("smtp.example.com", 25, false).2, "http://smtp.example.com:25/");
    for secure in [true, false] {
        let (shown, security, url) = read("smtp.example.com", 465, secure);
        assert_eq!(
            (shown.as_str(), security),
            ("smtps://smtp.example.com:465", Security::Implicit)
        );
        assert!(url.starts_with("https://"), "{url}");
    }
}

#[test]
fn addresses_are_hosts_too_in_one_notation() {
    for (written, shown) in [
        ("127.0.0.1", "smtp://127.0.0.1:2525"),
        ("0x7f.1", "smtp://127.0.0.1:2525"),
        ("::1", "smtp://[::1]:2525"),
        ("[::1]", "smtp://[::1]:2525"),
        ("Mail.Example.COM", "smtp://mail.example.com:2525"),
        ("münchen.example", "smtp://xn--mnchen-3ya.example:2525"),
    ] {
        assert_eq!(read(written, 2525, true).0, shown, "{written}");
    }
    // A port that web addresses leave out.
    assert_eq!(read("mail.example.com", 443, true).0, "smtp://mail.example.com:443");
}

#[test]
fn what_is_no_host_is_refused_without_being_repeated() {
    for wrong in [
        "",
        "  ",
        "smtp://smtp.example.com",
        "user:hush@smtp.example.com",
        "smtp.example.com:587",
        "smtp.example.com/x",
        "smtp example",
        "a\r\nb",
        "[::1",
        "exa_mple..com",
    ] {
        let message = Server::read(wrong, 587, true).expect_err(wrong);
        assert!(wrong.trim().is_empty() || !message.contains(wrong.trim()), "{message}");
    }
    assert!(Server::read(&"a".repeat(300), 587, true).is_err());
}
