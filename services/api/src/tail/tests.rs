use super::*;

#[test]
fn a_place_is_read_as_it_is_written() {
    for (text, place) in [
        ("7", Place { seq: 7, index: None }),
        ("7.0", Place { seq: 7, index: Some(0) }),
        (
            "18446744073709551615.31",
            Place {
                seq: u64::MAX,
                index: Some(31),
            },
        ),
    ] {
        assert_eq!(text.parse(), Ok(place));
        assert_eq!(place.to_string(), text);
    }
    for text in ["", ".", "7.", ".7", "-1", "7.x", "x", "7.1.1", "99999999999999999999"] {
        assert_eq!(text.parse::<Place>(), Err(()), "{text}");
    }
}

fn filter(kind: Kind, org: &str, pattern: Option<&str>) -> Filter {
    Filter {
        kind,
        org: org.parse().expect("a name"),
        pattern: pattern.map(|pattern| pattern.parse().expect("a pattern")),
        integration: None,
    }
}

#[test]
fn the_server_filters_what_subjects_can_say() {
    for (filter, subject) in [
        (filter(Kind::Events, "acme", None), "signalbox.event.*.acme.>"),
        (
            filter(Kind::Events, "acme", Some("canary.>")),
            "signalbox.event.*.acme.canary.>",
        ),
        (filter(Kind::Deliveries, "acme", Some("a")), "signalbox.outcome.>"),
        (filter(Kind::Dead, "acme", Some("a")), "signalbox.dead.*.acme.*.*"),
        // Those whose input named no valid org are the default org's.
        (filter(Kind::Dead, "default", None), "signalbox.dead.*.*.*.*"),
    ] {
        assert_eq!(filter.subjects(), [subject]);
    }
}
