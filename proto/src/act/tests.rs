use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_generation_is_higher_than_all_before_whatever_the_clock_does(clocks in proptest::collection::vec(any::<i64>(), 1..20)) {
        let mut last = 0;
        for nanos in clocks {
            let next = generation(last, Timestamp::from_nanos(nanos));
            prop_assert!(next > last || last == u32::MAX);
            last = next;
        }
    }

    #[test]
    fn a_replay_is_above_what_its_delivery_had_and_above_earlier_acts(had in 0..u32::MAX - 1, earlier in 0..u32::MAX - 1) {
        let now = Timestamp::from_secs(1_800_000_000);
        let act = generation(earlier, now);
        let next = next_generation(had, act);
        prop_assert!(next > had && next > earlier);
    }
}

#[test]
fn the_clock_alone_puts_a_generation_above_any_that_was_counted_up() {
    let now = Timestamp::from_secs(1_790_000_000);
    assert_eq!(generation(0, now), 54_310_400);
    assert_eq!(generation(54_310_400, now), 54_310_401, "two in one second");
    assert_eq!(generation(7, Timestamp::from_secs(0)), 8, "a clock that was never set");
    let last = Timestamp::from_secs(GENERATIONS_SINCE_SECS + i64::from(u32::MAX));
    assert_eq!(last.to_string(), "2161-02-07T06:28:15Z", "until then it fits");
}

#[test]
fn an_act_of_an_older_version_and_one_of_a_newer_can_be_read() {
    #[derive(Serialize)]
    struct Old {
        kind: Tagged,
        id: &'static str,
        filter: DeadFilter,
        per_second: u32,
        through: u64,
        cursor: u64,
        status: &'static str,
        created_at: Timestamp,
        updated_at: Timestamp,
    }
    #[derive(Serialize)]
    struct Tagged {
        kind: &'static str,
        bird: u8,
    }
    let read = |kind| {
        let old = Old {
            kind: Tagged { kind, bird: 7 },
            id: "a",
            filter: DeadFilter::default(),
            per_second: 5,
            through: 9,
            cursor: 1,
            status: "running",
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        crate::wire::decode::<Act>(&crate::wire::encode(&old).expect("bytes")).expect("an act")
    };
    let act = read("discard");
    assert_eq!((act.kind, act.generation, act.total), (Kind::Discard, 0, None));
    assert_eq!(read("paint").kind, Kind::Unknown);
}

#[test]
fn the_type_of_a_rejected_input_is_the_one_of_its_subject() {
    let input = |subject: &str| crate::dead::Input {
        subject: subject.into(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let letter = |subject| {
        let now = Timestamp::default();
        DeadLetter::of_input(Stage::Ingest, DeadReason::Invalid, "bad", None, input(subject), now)
    };
    let filter = DeadFilter {
        event_type: Some("order.placed".into()),
        ..DeadFilter::default()
    };
    for (subject, expected) in [
        ("signalbox.in.acme.order.placed", true),
        ("signalbox.in.Not-An-Org.order.placed", true),
        ("signalbox.in.acme.order.placed.twice", false),
        ("signalbox.in.acme", false),
        ("elsewhere", false),
    ] {
        assert_eq!(
            filter.covers(Timestamp::default(), &letter(subject)),
            expected,
            "{subject}"
        );
    }
}
