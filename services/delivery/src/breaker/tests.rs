use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    failures_min: 30,
    failed_percent: 80,
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_003_000 + millis)
}

fn fail(breaker: &mut Breaker, millis: i64) -> Standing {
    breaker.answered("i", Sign::Failed { since: at(millis) }, false, at(millis))
}

fn take(breaker: &mut Breaker, millis: i64) -> Standing {
    breaker.answered("i", Sign::Alive, false, at(millis))
}

fn opens(standing: Standing) -> bool {
    matches!(standing, Standing::Open { .. })
}

/// The first of these moments at which it opens, if at one.
fn opened_at(breaker: &mut Breaker, failures: impl IntoIterator<Item = i64>) -> Option<i64> {
    failures.into_iter().find(|millis| opens(fail(breaker, *millis)))
}

#[test]
fn a_dead_target_is_left_alone_after_the_failures_asked_for_and_five_seconds() {
    assert_eq!(opened_at(&mut Breaker::new(LIMITS), (0..).step_by(10)), Some(5_000));
    assert_eq!(opened_at(&mut Breaker::new(LIMITS), (0..).step_by(1_000)), Some(29_000));
    let few = (0..29).map(|number| number * 1_000);
    assert_eq!(opened_at(&mut Breaker::new(LIMITS), few), None);
}

#[test]
fn a_hiccup_shorter_than_the_first_retry_opens_nothing() {
    let mut breaker = Breaker::new(LIMITS);
    assert_eq!(opened_at(&mut breaker, (0..4_900).step_by(10)), None);
    for millis in (4_900..60_000).step_by(20) {
        take(&mut breaker, millis);
    }
    assert_eq!(opened_at(&mut breaker, (60_000..63_000).step_by(100)), None);
}

#[test]
fn timeouts_count_from_when_their_requests_began() {
    let mut breaker = Breaker::new(LIMITS);
    let sign = Sign::Failed { since: at(0) };
    let opened = (1..=64).find(|_| opens(breaker.answered("i", sign, false, at(15_000))));
    assert_eq!(opened, Some(30));
}

#[test]
fn a_target_that_takes_a_quarter_is_tried_on_and_its_owner_hears_where_it_takes_less() {
    let mut breaker = Breaker::new(LIMITS);
    for round in 0..1_000 {
        assert!(!opens(take(&mut breaker, round * 100)));
        for n in 0..3 {
            assert_eq!(fail(&mut breaker, round * 100 + n), Standing::Well);
        }
    }
    let mut breaker = Breaker::new(LIMITS);
    let told = (0..).find(|n| fail(&mut breaker, n * 1_000) == Standing::Failing);
    assert_eq!(told, Some(14), "half of what opens it");
}

#[test]
fn a_busy_target_that_dies_is_left_alone_after_ten_seconds_whatever_it_took_before() {
    let mut breaker = Breaker::new(LIMITS);
    for millis in 0..50_000 {
        take(&mut breaker, millis);
        if millis % 1_000 == 0 {
            fail(&mut breaker, millis);
        }
    }
    let opened = opened_at(&mut breaker, 50_000..);
    assert_eq!(opened, Some(60_000));
}

#[test]
fn failures_older_than_a_minute_do_not_count() {
    let mut breaker = Breaker::new(LIMITS);
    for round in 0..10 {
        let begin = round * 75_000;
        assert_eq!(
            opened_at(&mut breaker, (begin..begin + 14_000).step_by(500)),
            None,
            "round {round}"
        );
    }
    // Slowly, but without any success: more than 30 in all, never 30 in a minute, each within a minute.
    let mut breaker = Breaker::new(LIMITS);
    assert_eq!(opened_at(&mut breaker, (0..).step_by(59_000)), Some(29 * 59_000));
}

#[test]
fn while_what_waited_is_let_out_five_in_a_row_are_enough_and_a_success_begins_anew() {
    let mut breaker = Breaker::new(LIMITS);
    let mut half_open = |sign: bool, millis: i64| {
        let sign = if sign {
            Sign::Alive
        } else {
            Sign::Failed { since: at(millis) }
        };
        opens(breaker.answered("i", sign, true, at(millis)))
    };
    for millis in 0..4 {
        assert!(!half_open(false, millis));
    }
    assert!(!half_open(true, 4));
    for millis in 5..9 {
        assert!(!half_open(false, millis));
    }
    assert!(half_open(false, 9));
    assert!(!half_open(false, 10), "counted anew");
}

#[test]
fn nothing_is_kept_of_what_does_not_fail() {
    let mut breaker = Breaker::new(LIMITS);
    for number in 0..100_000 {
        breaker.answered(&number.to_string(), Sign::Alive, false, at(number));
    }
    assert!(breaker.windows.is_empty());
    for number in 0..KEPT_MAX {
        let sign = Sign::Failed { since: at(0) };
        breaker.answered(&number.to_string(), sign, false, at(0));
    }
    fail(&mut breaker, 60_000);
    assert_eq!(breaker.windows.len(), 1, "the others have been quiet for a minute");
    take(&mut breaker, 120_001);
    assert!(breaker.windows.is_empty());
}

#[test]
fn the_reason_says_how_many_of_how_many_in_which_time() {
    let open = |failed, all, secs| reason(Standing::Open { failed, all, secs }, "HTTP 503").unwrap();
    assert_eq!(
        open(42, 45, 75),
        "its target fails: 42 of 45 requests in the last minute, the last of them: HTTP 503"
    );
    assert_eq!(
        open(30, 30, 5),
        "its target fails: 30 of 30 requests in the last 5 s, the last of them: HTTP 503"
    );
    assert_eq!(reason(Standing::Failing, "HTTP 503"), None);
}

#[test]
fn a_limit_a_refusal_and_what_was_not_sent_are_no_failures() {
    let sign = |outcome: Outcome, response_code: Option<u16>, asked: bool| {
        Sign::of(&Attempted {
            outcome,
            response_code,
            response_body: String::new(),
            started: at(0),
            took: Duration::ZERO,
            asked,
            waits: None,
            progress: None,
        })
    };
    let retry = |after: Option<u64>| Outcome::Retry {
        reason: "x".into(),
        after: after.map(Duration::from_secs),
    };
    let failed = Some(Sign::Failed { since: at(0) });
    assert_eq!(sign(retry(None), Some(503), true), failed);
    assert_eq!(sign(retry(None), None, true), failed, "a timeout");
    assert_eq!(sign(retry(None), Some(429), true), None);
    assert_eq!(sign(retry(Some(5)), Some(503), true), None);
    assert_eq!(sign(retry(None), None, false), None);
    let reject = Outcome::Reject { reason: "x".into() };
    assert_eq!(sign(reject.clone(), Some(400), true), Some(Sign::Alive));
    assert_eq!(sign(reject, None, false), None, "a template of its own");
    let suspend = Outcome::Suspend {
        reason: "x".into(),
        at_once: false,
    };
    assert_eq!(sign(suspend, Some(401), true), None);
}

/// What the window means, with every answer kept: the parts of the clock that count, failures and all.
fn naive(answers: &[(i64, bool)], now: i64) -> (usize, usize) {
    let first = (now.div_euclid(10_000) - 5) * 10_000;
    let inside = || answers.iter().filter(|(millis, _)| *millis >= first);
    (inside().filter(|(_, failed)| *failed).count(), inside().count())
}

proptest! {
    #[test]
    fn it_opens_only_where_a_naive_count_says_so(steps in proptest::collection::vec((0_i64..3_000, any::<bool>()), 1..400), percent in 1_u32..100, least in 1_u32..40) {
        let limits = Limits { failures_min: least, failed_percent: percent };
        let mut breaker = Breaker::new(limits);
        let (mut answers, mut row, mut now) = (Vec::new(), 0_usize, 0_i64);
        for (passed, failed) in steps {
            now += passed;
            // The clock of the parts begins at a whole ten seconds.
            let millis = now + 1_700_000_000_000;
            let sign = if failed { Sign::Failed { since: Timestamp::from_millis(millis) } } else { Sign::Alive };
            let standing = breaker.answered("i", sign, false, Timestamp::from_millis(millis));
            answers.push((now, failed));
            row = if failed { row + 1 } else { 0 };
            let (bad, all) = naive(&answers, now);
            if let Standing::Open { failed: told, all: of, .. } = standing {
                prop_assert!(failed);
                prop_assert!(told <= of);
                // What came before the first failure is not known: the share can only be higher than told.
                prop_assert!(row >= least as usize || bad >= least as usize);
                prop_assert!(told as usize <= bad.max(row) && of as usize <= all.max(row));
                answers.clear();
                row = 0;
            } else if bad >= least as usize && bad == all && failed {
                // Nothing but failures: only the time that they must span is missing.
                let first = answers.iter().map(|(at, _)| *at).nth(answers.len() - bad).unwrap_or(now);
                prop_assert!(now - first < 5_000, "{} failures since {} ms", bad, now - first);
            }
        }
    }
}
