use std::str::FromStr;

use super::*;

fn egress(allow: &[&str]) -> Egress {
    serde_json::from_value(serde_json::json!({ "allow": allow })).expect("ranges")
}

fn class(address: &str) -> Option<Class> {
    match Egress::default().check_address(IpAddr::from_str(address).expect("an address")) {
        Verdict::Allowed => panic!("nothing is allowed"),
        Verdict::Public => None,
        Verdict::Refused(class) => Some(class),
    }
}

#[test]
fn addresses_that_are_not_public_are_refused() {
    for (address, expected) in [
        ("0.0.0.0", Class::Unspecified),
        ("0.1.2.3", Class::Unspecified),
        ("10.255.0.1", Class::Private),
        ("100.64.0.1", Class::Shared),
        ("100.127.255.255", Class::Shared),
        ("127.0.0.1", Class::Loopback),
        ("127.255.255.254", Class::Loopback),
        ("169.254.0.1", Class::LinkLocal),
        ("169.254.169.254", Class::Metadata),
        ("168.63.129.16", Class::Metadata),
        ("172.16.0.1", Class::Private),
        ("172.31.255.255", Class::Private),
        ("192.0.0.192", Class::Reserved),
        ("192.0.2.1", Class::Documentation),
        ("192.88.99.1", Class::Reserved),
        ("192.168.1.1", Class::Private),
        ("198.18.0.1", Class::Benchmarking),
        ("198.19.255.255", Class::Benchmarking),
        ("198.51.100.1", Class::Documentation),
        ("203.0.113.1", Class::Documentation),
        ("224.0.0.1", Class::Multicast),
        ("239.255.255.255", Class::Multicast),
        ("240.0.0.1", Class::Reserved),
        ("255.255.255.255", Class::Broadcast),
        ("::", Class::Unspecified),
        ("::1", Class::Loopback),
        ("fe80::1", Class::LinkLocal),
        ("febf::1", Class::LinkLocal),
        ("fec0::1", Class::Private),
        ("fc00::1", Class::Private),
        ("fdff::1", Class::Private),
        ("fd00:ec2::254", Class::Metadata),
        ("ff02::1", Class::Multicast),
        ("2001:db8::1", Class::Documentation),
        ("3fff::1", Class::Documentation),
        ("2001:2::1", Class::Benchmarking),
        ("2001:10::1", Class::Reserved),
        ("100::1", Class::Reserved),
        ("4000::1", Class::Reserved),
        ("5f00::1", Class::Reserved),
    ] {
        assert_eq!(class(address), Some(expected), "{address}");
    }
}

#[test]
fn ipv4_addresses_inside_ipv6_are_judged_as_what_they_are() {
    for (address, expected) in [
        ("::ffff:127.0.0.1", Class::Loopback),
        ("::ffff:10.0.0.1", Class::Private),
        ("::ffff:169.254.169.254", Class::Metadata),
        ("::127.0.0.1", Class::Loopback),
        ("::8.8.8.8", Class::Reserved),
        ("64:ff9b::10.0.0.1", Class::Private),
        ("64:ff9b::169.254.169.254", Class::Metadata),
        ("64:ff9b:1::8.8.8.8", Class::Reserved),
        ("2002:7f00:1::1", Class::Loopback),
        ("2002:a9fe:a9fe::1", Class::Metadata),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Class::Reserved),
        ("2a00::5efe:10.0.0.1", Class::Private),
        ("2a00::200:5efe:192.168.0.1", Class::Private),
    ] {
        assert_eq!(class(address), Some(expected), "{address}");
    }
}

#[test]
fn public_addresses_are_called() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00::5efe:8.8.8.8",
        "3ffe::1",
    ] {
        assert_eq!(class(address), None, "{address}");
    }
}

#[test]
fn allowed_ranges_are_called_in_both_families() {
    let egress = egress(&["127.0.0.0/8", "10.1.2.3", "fd00:1::/32"]);
    let verdict = |address: &str| egress.check_address(address.parse().expect("an address"));
    assert_eq!(verdict("127.9.9.9"), Verdict::Allowed);
    assert_eq!(verdict("::ffff:127.0.0.1"), Verdict::Allowed);
    assert_eq!(verdict("10.1.2.3"), Verdict::Allowed);
    assert_eq!(verdict("fd00:1::5"), Verdict::Allowed);
    assert_eq!(verdict("10.1.2.4"), Verdict::Refused(Class::Private));
    assert_eq!(verdict("::1"), Verdict::Refused(Class::Loopback));
    assert_eq!(verdict("2002:7f00:1::1"), Verdict::Refused(Class::Loopback));
    assert_eq!(verdict("8.8.8.8"), Verdict::Public);
}

fn check(egress: &Egress, url: &str) -> Option<String> {
    egress
        .check_url(&url.parse().expect("a URL"))
        .err()
        .map(|refusal| refusal.to_string())
}

#[test]
fn every_notation_of_an_address_in_a_url_is_understood() {
    for url in [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7F.0.0.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://127.0.0.1./",
        "https://%31%32%37.0.0.1/",
        "https://１２７.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
    ] {
        let message = check(&Egress::default(), url).unwrap_or_else(|| panic!("{url} is let through"));
        assert!(message.contains("a loopback address"), "{url}: {message}");
        assert_eq!(check(&egress(&["127.0.0.0/8", "::1"]), url), None, "{url}");
    }
}

#[test]
fn plain_http_is_for_allowed_addresses() {
    let none = Egress::default();
    let some = egress(&["10.0.0.0/8"]);
    assert_eq!(check(&none, "https://hooks.example.com/"), None);
    assert!(check(&none, "http://hooks.example.com/").is_some_and(|text| text.contains("by https")));
    assert!(check(&none, "http://8.8.8.8/").is_some_and(|text| text.contains("by https")));
    assert!(check(&some, "http://8.8.8.8/").is_some_and(|text| text.contains("by https")));
    assert_eq!(check(&some, "http://10.0.0.1/"), None);
    // Its addresses are known when it is called.
    assert_eq!(check(&some, "http://hooks.example.com/"), None);
    assert!(check(&some, "ftp://10.0.0.1/").is_some_and(|text| text.contains("ftp")));
    assert!(check(&some, "file:///etc/passwd").is_some());
}

#[test]
fn of_the_addresses_of_a_name_only_those_that_may_be_called_are_used() {
    let addresses: Vec<SocketAddr> = ["10.0.0.1:0", "8.8.8.8:0", "192.168.0.1:0"]
        .map(|text| text.parse().expect("an address"))
        .into();
    let picked = |resolver: Resolver| {
        resolver
            .pick("x.example", &addresses)
            .map(|list| list.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>())
    };
    let none = Arc::new(Egress::default());
    let some = Arc::new(egress(&["10.0.0.0/8"]));
    assert_eq!(picked(Resolver::secure(&none)), Ok(vec!["8.8.8.8".to_owned()]));
    assert_eq!(
        picked(Resolver::secure(&some)),
        Ok(vec!["10.0.0.1".to_owned(), "8.8.8.8".to_owned()])
    );
    assert_eq!(picked(Resolver::plain(&some)), Ok(vec!["10.0.0.1".to_owned()]));
    assert_eq!(
        picked(Resolver::plain(&none)),
        Err(Refusal::Plain {
            host: "x.example".to_owned()
        })
    );
    let private = [addresses[0], addresses[2]];
    assert_eq!(
        Resolver::secure(&none).pick("x.example", &private),
        Err(Refusal::Address {
            host: "x.example".to_owned(),
            class: Class::Private
        })
    );
}

#[test]
fn settings_take_ranges_and_single_addresses() {
    assert_eq!(egress(&["127.0.0.0/8", " 10.0.0.1 ", "::1"]).allow.len(), 3);
    let error = serde_json::from_str::<Egress>(r#"{"allow": ["10.0.0"]}"#).expect_err("no range");
    assert!(
        error.to_string().contains("\"10.0.0\" is not a range of addresses"),
        "{error}"
    );
    serde_json::from_str::<Egress>(r#"{"deny": []}"#).expect_err("an unknown setting");
}
