use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

#[test]
fn three_in_a_row_over_a_minute_are_enough_and_less_is_not() {
    let mut streak = Streak::default();
    assert!(!streak.suspend(None, false, at(0)).1);
    assert!(!streak.suspend(None, false, at(30)).1);
    assert!(!streak.suspend(None, false, at(59)).1);
    assert!(streak.suspend(None, false, at(60)).1);
}

#[test]
fn another_answer_breaks_the_row_also_of_what_a_delivery_carries() {
    let mut streak = Streak::default();
    let (carried, _) = streak.suspend(None, false, at(0));
    let (carried, _) = streak.suspend(Some(carried), false, at(30));
    streak.other(at(40));
    let (carried, enough) = streak.suspend(Some(carried), false, at(70));
    assert_eq!(
        (carried, enough),
        (
            Suspends {
                count: 1,
                since: at(70)
            },
            false
        )
    );
}

#[test]
fn what_a_delivery_met_at_other_workers_counts() {
    let carried = Suspends { count: 2, since: at(0) };
    assert!(Streak::default().suspend(Some(carried), false, at(60)).1);
}

#[test]
fn gone_is_enough_at_once() {
    assert!(Streak::default().suspend(None, true, at(0)).1);
}

#[test]
fn one_event_that_is_always_refused_does_not_suspend_a_target_that_takes_others() {
    let mut streak = Streak::default();
    let mut carried = None;
    for minute in 0..10 {
        let (row, enough) = streak.suspend(carried, false, at(minute * 60));
        assert!(!enough, "minute {minute}");
        carried = Some(row);
        streak.other(at(minute * 60 + 30));
    }
}

#[test]
fn integrations_that_were_answered_long_ago_take_no_memory() {
    let mut streaks = Streaks::new();
    streaks.suspend("refused", None, false, at(0));
    for number in 0..KEPT_MAX {
        streaks.other(&number.to_string(), at(0));
    }
    assert!(streaks.streaks.len() >= KEPT_MAX);
    streaks.other("new", at(599));
    assert!(streaks.streaks.len() > KEPT_MAX, "they may still matter");
    for number in 0..2 * KEPT_MAX {
        streaks.other(&format!("later {number}"), at(600));
    }
    assert!(!streaks.streaks.contains_key("0"));
    assert!(streaks.streaks.contains_key("refused"), "its row goes on");
}
