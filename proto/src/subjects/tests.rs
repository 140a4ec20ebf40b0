use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

/// Whether the server would deliver a message on `subject` to a consumer that reads `filter`.
fn covers(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[test]
fn a_partition_never_changes() {
    // An org that changed its partition would be read by two consumers for a while, out of order.
    for (org, of_8, of_64) in PARTITIONS {
        assert_eq!((partition(org, 8), partition(org, 64)), (of_8, of_64), "{org}");
        assert_eq!(partition(org, 1), 0);
        assert_eq!(partition(org, 0), 0);
    }
}

/// As nats-server 2.15.1 maps them with `partition(8,1)` and `partition(64,1)`.
const PARTITIONS: [(&str, u32, u32); 6] = [
    ("acme", 7, 47),
    ("default", 6, 30),
    ("a", 4, 44),
    ("org-42", 6, 62),
    ("z_9", 5, 29),
    ("0", 7, 47),
];

#[test]
fn the_stored_form_of_an_input_is_undone() {
    for (stored, given) in [
        (
            "signalbox.ingest.3.acme.execution.failed",
            "signalbox.in.acme.execution.failed",
        ),
        ("signalbox.ingest.0.acme.a", "signalbox.in.acme.a"),
        ("signalbox.in.acme", "signalbox.in.acme"),
        ("signalbox.ingest.3", "signalbox.ingest.3"),
        ("elsewhere.3.a.b", "elsewhere.3.a.b"),
    ] {
        assert_eq!(given_input(stored), given);
    }
}

#[test]
fn a_hostile_subject_is_an_error_that_names_the_part_at_fault() {
    for (subject, fault) in [
        ("", InvalidName::Name(String::new())),
        ("signalbox.in.", InvalidName::Name(String::new())),
        ("signalbox.in", InvalidName::Name(String::new())),
        ("signalbox.in.acme", InvalidName::Type(String::new())),
        ("signalbox.in.acme.", InvalidName::Type(String::new())),
        ("signalbox.in.Acme.a", InvalidName::Name("Acme".to_owned())),
        ("signalbox.in..a", InvalidName::Name(String::new())),
        ("signalbox.in.acme.a..b", InvalidName::Type("a..b".to_owned())),
        ("signalbox.in.acme.a b", InvalidName::Type("a b".to_owned())),
        ("signalbox.in.acme.>", InvalidName::Type(">".to_owned())),
        ("signalbox.in.acme.ü", InvalidName::Type("ü".to_owned())),
        ("signalbox.event.0.acme.a", InvalidName::Name(String::new())),
    ] {
        assert_eq!(read_input(subject), Err(fault), "{subject:?}");
    }
}

#[test]
fn the_input_mapping_is_the_servers() {
    assert_eq!(
        input_transform(8),
        Some((
            "signalbox.in.*.>".to_owned(),
            "signalbox.ingest.{{partition(8,1)}}.{{wildcard(1)}}.>".to_owned()
        ))
    );
    assert_eq!(input_transform(1), None);
}

#[test]
fn every_lane_of_a_provider_is_read_by_exactly_its_own_consumer() {
    let (provider, org) = (name("webhook"), name("acme"));
    for lane in Lane::ALL {
        let subject = deliver(&provider, lane, &org, "0199");
        for other in Lane::ALL {
            assert_eq!(
                covers(&deliver_filter(&provider, other), &subject),
                lane == other,
                "{subject}"
            );
        }
        let bound = deliver_subjects(&provider);
        assert!(bound.iter().any(|filter| covers(filter, &subject)), "{subject}");
        assert!(covers(&deliver_of(&provider, &org, "0199"), &subject));
        assert!(!covers(&deliver_of(&provider, &org, "0200"), &subject));
        let schedule = retry(&provider, lane, &org, "0199", "d");
        assert!(bound.iter().any(|filter| covers(filter, &schedule)), "{schedule}");
        assert!(covers(&retry_of(&provider, &org, "0199"), &schedule));
        // A schedule must fire into a lane, not be read by one before it is due.
        assert!(
            Lane::ALL
                .iter()
                .all(|lane| !covers(&deliver_filter(&provider, *lane), &schedule))
        );
        assert_eq!(
            deliver_consumer(&provider, lane),
            format!("deliver-webhook-{}", lane.as_str())
        );
    }
}

#[test]
fn no_provider_reads_anothers_deliveries() {
    let (one, other) = (name("webhook"), name("web"));
    let subject = deliver(&one, Lane::Live, &name("acme"), "0199");
    assert!(deliver_subjects(&other).iter().all(|filter| !covers(filter, &subject)));
    assert_ne!(deliver_stream(&one), deliver_stream(&other));
}

#[test]
fn a_dead_letter_lies_under_every_filter_that_asks_for_it() {
    let (org, provider) = (name("acme"), name("webhook"));
    let whole = dead(Stage::Delivery, Some(&org), Some(&provider), Some("0199"));
    let bare = dead(Stage::Ingest, None, None, None);
    assert_eq!(
        (whole.as_str(), bare.as_str()),
        (
            "signalbox.dead.delivery.acme.webhook.0199",
            "signalbox.dead.ingest.-.-.-"
        )
    );
    for (filter, of_whole, of_bare) in [
        (dead_filter(None, None, None, None), true, true),
        (dead_filter(Some(Stage::Ingest), None, None, None), false, true),
        (dead_filter(None, Some("acme"), None, None), true, false),
        (dead_filter(None, Some("other"), None, None), false, false),
        (dead_filter(None, None, Some("webhook"), Some("0199")), true, false),
    ] {
        assert_eq!(
            (covers(&filter, &whole), covers(&filter, &bare)),
            (of_whole, of_bare),
            "{filter}"
        );
    }
    for subject in [whole, bare, dead_mark("act")] {
        assert_eq!(
            DEAD_SUBJECTS.iter().filter(|filter| covers(filter, &subject)).count(),
            1,
            "{subject}"
        );
    }
    assert!(
        !covers("signalbox.dead.>", &dead_mark("act")),
        "marks are not dead letters"
    );
}

#[test]
fn what_waits_for_an_org_or_an_integration_lies_under_one_filter_of_its_readers() {
    let (provider, org) = (name("slack"), name("acme"));
    for lane in Lane::ALL {
        let of = |provider: &Name, org: &Name| {
            [
                deliver(provider, lane, org, "i1"),
                retry(provider, lane, org, "i1", "d1"),
            ]
        };
        let hits = |filters: &[String], subject: &str| filters.iter().filter(|filter| covers(filter, subject)).count();
        for subject in of(&provider, &org) {
            assert_eq!(hits(&waiting_of(&provider, &org, None), &subject), 1, "{subject}");
            assert_eq!(hits(&waiting_of(&provider, &org, Some("i1")), &subject), 1, "{subject}");
            assert_eq!(hits(&waiting_of(&provider, &org, Some("i2")), &subject), 0, "{subject}");
        }
        for subject in of(&name("slack2"), &org).iter().chain(&of(&provider, &name("other"))) {
            assert_eq!(hits(&waiting_of(&provider, &org, None), subject), 0, "{subject}");
        }
    }
}

#[test]
fn streams_hold_what_is_published_for_them() {
    let (org, event_type) = (name("acme"), "a.b".parse().expect("a type"));
    for (subject, bound) in [
        (input(&org, &event_type), &[INPUT_ALL][..]),
        (event(&org, &event_type, 8), &[EVENT_ALL]),
        (parked(&org, "0199"), &PARKED_SUBJECTS),
        (gate("0199"), &PARKED_SUBJECTS),
        (outcome("router", "host-1"), &[OUTCOME_ALL]),
    ] {
        assert_eq!(
            bound.iter().filter(|filter| covers(filter, &subject)).count(),
            1,
            "{subject}"
        );
    }
    let at = partition("acme", 8);
    assert!(covers(&event_filters(at, 8)[0], &event(&org, &event_type, 8)));
    assert!(!covers(&event_filters(at + 1, 8)[0], &event(&org, &event_type, 8)));
    assert!(event_filters(0, 1).is_empty());
}

#[test]
fn only_the_first_partition_of_ingest_reads_inputs_without_a_type() {
    let stored = "signalbox.in.acme";
    assert!(input_filters(0, 8).iter().any(|filter| covers(filter, stored)));
    assert!(!input_filters(1, 8).iter().any(|filter| covers(filter, stored)));
}

#[test]
fn only_names_of_delivery_streams_name_a_provider() {
    for (stream, provider) in [
        ("DELIVER_WEBHOOK", Some("webhook")),
        ("DELIVER_NEW_RELIC", Some("new_relic")),
        ("EVENTS", None),
        ("DELIVER_", None),
        ("DELIVER_A.B", None),
    ] {
        assert_eq!(provider_of_stream(stream), provider.map(name), "{stream}");
    }
}

proptest! {
    #[test]
    fn a_valid_input_comes_back_through_the_streams_form(
        org in "[a-z0-9][a-z0-9_-]{0,63}",
        event_type in "[A-Za-z0-9_-]{1,12}(\\.[A-Za-z0-9_-]{1,12}){0,7}",
        partitions in 1_u32..64,
    ) {
        let (org, event_type): (Name, EventType) = (name(&org), event_type.parse().expect("a type"));
        let given = input(&org, &event_type);
        prop_assert_eq!(read_input(&given), Ok((org.clone(), event_type.clone())));
        let stored = format!("{STORED_INPUT_PREFIX}{}.{org}.{event_type}", partition(org.as_str(), partitions));
        prop_assert_eq!(&given_input(&stored), &given);
        let filters = input_filters(partition(org.as_str(), partitions), partitions);
        prop_assert!(filters.is_empty() == (partitions == 1));
        prop_assert!(partitions == 1 || filters.iter().any(|filter| covers(filter, &stored)));
        prop_assert!(partition(org.as_str(), partitions) < partitions);
    }

    #[test]
    fn a_provider_comes_back_from_its_streams_name(provider in "[a-z0-9][a-z0-9_-]{0,63}") {
        let provider = name(&provider);
        prop_assert_eq!(provider_of_stream(&deliver_stream(&provider)), Some(provider));
    }

    #[test]
    fn a_registered_type_comes_back_from_its_key(
        org in "[a-z0-9][a-z0-9_-]{0,63}",
        event_type in "[A-Za-z0-9_-]{1,12}(\\.[A-Za-z0-9_-]{1,12}){0,7}",
    ) {
        let key = type_key(&org, &event_type);
        prop_assert!(covers(&type_key("*", ">"), &key) && covers(&type_key(&org, ">"), &key));
        prop_assert_eq!(read_type_key(&key), Some((name(&org), event_type.parse().expect("a type"))));
        prop_assert_eq!(read_type_key(&integration_key(&org)), None);
    }

    #[test]
    fn keys_and_orgs_come_back_from_theirs_and_disturb_no_neighbour(
        org in "[a-z0-9][a-z0-9_-]{0,63}",
        digits in "[0-9a-f]{64}",
    ) {
        let (key, tenant) = (key_key(&digits), org_key(&org));
        prop_assert!(covers(&key_key("*"), &key) && covers(&org_key("*"), &tenant));
        prop_assert_eq!(read_key_key(&key), Some(digits.as_str()));
        prop_assert_eq!(read_org_key(&tenant), Some(name(&org)));
        for neighbour in [integration_key("*"), type_key("*", ">"), "name.>".to_owned()] {
            prop_assert!(!covers(&neighbour, &key) && !covers(&neighbour, &tenant), "{}", neighbour);
        }
        for other in [integration_key(&org), type_key(&org, "a.b"), name_key(&name(&org), &name(&org))] {
            prop_assert_eq!((read_key_key(&other), read_org_key(&other)), (None, None));
        }
    }

    #[test]
    fn no_subject_makes_reading_panic(subject: String) {
        drop(read_type_key(&subject));
        drop(read_input(&subject));
        drop(read_input(&format!("{INPUT_PREFIX}{subject}")));
        given_input(&subject);
        given_input(&format!("{STORED_INPUT_PREFIX}{subject}"));
    }
}

#[test]
fn what_is_stored_of_a_key_lies_in_the_partition_of_its_key_and_says_what_it_is() {
    let (provider, org): (Name, Name) = ("webhook".parse().unwrap(), "acme".parse().unwrap());
    let key = crate::delivery::order_key("i", "text k");
    let partition = order_partition(&key);
    let filter = ordered_partition(&provider, partition);
    let prefix = filter
        .strip_prefix("signalbox.*.")
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap();
    for (subject, kind) in [
        (ordered(&provider, &org, "i", &key), OrderedKind::Queued),
        (ordered_head(&provider, &org, "i", &key), OrderedKind::Head),
    ] {
        assert_eq!(read_ordered(&subject), Some((kind, key.as_str())));
        assert_eq!(
            subject.splitn(3, '.').nth(2).map(|rest| rest.starts_with(prefix)),
            Some(true)
        );
    }
    let mark = ordered_mark(&provider, partition);
    assert_eq!(read_ordered(&mark).map(|(kind, _)| kind), Some(OrderedKind::Mark));
    assert!(
        mark.splitn(3, '.')
            .nth(2)
            .is_some_and(|rest| rest.starts_with(prefix) && rest.len() > prefix.len())
    );
    assert_eq!(read_ordered("signalbox.parked.acme.i"), None);
}
