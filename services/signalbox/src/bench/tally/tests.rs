use super::*;

const ONE: Plan = Plan {
    events: 10,
    types: 1,
    fanout: 1,
    types_answered: 1,
};

fn id(tally: &Tally, run: RunId, event: u64) -> String {
    let mut id = String::new();
    tally.write_id(run, event, &mut id);
    id
}

#[test]
fn an_id_says_its_run_and_its_event() {
    let tally = Tally::new();
    tally.begin(ONE);
    let run = tally.begin(ONE);
    let id = id(&tally, run, 0xabc);
    assert_eq!(id.len(), ID_CHARS);
    let (read_run, event, _published) = read_id(&id).unwrap();
    assert_eq!((read_run, event), (1, 0xabc));
    for bad in ["", "00000000-00000000-00000000000g", "00000000-00000000-0000000000-0"] {
        assert_eq!(read_id(bad), None, "{bad}");
    }
}

#[test]
fn repeats_and_strays_are_counted_beside_the_deliveries() {
    let tally = Tally::new();
    let plan = Plan {
        events: 4,
        types: 2,
        fanout: 3,
        types_answered: 2,
    };
    let run = tally.begin(plan);
    assert_eq!(plan.expected(), 12);
    for event in 0..4 {
        for member in 0..3 {
            tally.arrived(event % 2 * 3 + member, &id(&tally, run, event)).unwrap();
        }
    }
    tally.arrived(0, &id(&tally, run, 2)).unwrap();
    tally.arrived(3, &id(&tally, run, 2)).unwrap();
    tally.arrived(0, &id(&tally, run, 4)).unwrap();
    let seen = tally.seen(run);
    assert_eq!((seen.delivered, seen.duplicates, seen.misrouted), (12, 1, 2));
    assert_eq!(seen.latencies_us.len(), 12);
    assert_eq!(tally.arrived(0, "not ours"), Err(UnknownId));
}

#[test]
fn events_to_targets_that_hang_are_not_expected() {
    let check = |events, expected| {
        let plan = Plan {
            events,
            types: 2,
            fanout: 1,
            types_answered: 1,
        };
        assert_eq!(plan.expected(), expected, "{events}");
    };
    check(1, 1);
    check(2, 1);
    check(7, 4);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_last_arrival_or_when_nothing_comes_any_more() {
    let tally = Tally::new();
    let run = tally.begin(Plan { events: 2, ..ONE });
    tally.arrived(0, &id(&tally, run, 0)).unwrap();
    tally.complete(run, Duration::from_secs(30)).await;
    assert_eq!(tally.delivered(run), 1);

    let waiting = tally.complete(run, Duration::from_secs(30));
    tally.arrived(0, &id(&tally, run, 1)).unwrap();
    waiting.await;
    assert_eq!(tally.delivered(run), 2);
}
