use super::*;
use crate::{
    decide::tests::{at, delivery},
    filing::tests::{attempted, job, retry},
    streak,
};

fn judge() -> Judge {
    Judge::new(&Config {
        live_max: 1,
        retry_max: 1,
        ordered_max: 1,
        bulk_max: 1,
        integration_in_flight_max: 1,
        org_share_percent: 100,
        breaker_failures_min: 30,
        breaker_failed_percent: 80,
        probe_first_s: 60,
        place_wait_ms: 250,
        drain_ms: 0,
        memory_ms: 0,
    })
}

#[test]
fn what_could_not_be_sent_opens_no_breaker_and_is_told_to_nobody() {
    for asked in [false, true] {
        let mut judge = judge();
        let (mut opened, mut told) = (false, 0);
        for second in 0..60 {
            let (verdict, notices) = judge.judge(
                &mut job(delivery()),
                &attempted(retry(), asked, at(second)),
                None,
                at(second),
            );
            opened |= matches!(verdict, Verdict::Suspend { .. });
            told += notices.len();
        }
        assert_eq!((opened, told > 0), (asked, asked));
    }
}

#[test]
fn what_could_not_be_sent_stands_between_no_two_suspend_answers() {
    let refusal = Outcome::Suspend {
        reason: "401".to_owned(),
        at_once: false,
    };
    for asked in [false, true] {
        let (mut judge, mut refused, mut other) = (judge(), job(delivery()), job(delivery()));
        let mut verdicts = Vec::new();
        for count in 0..i64::from(streak::COUNT_MIN) {
            let now = at(count * 40);
            let (verdict, _) = judge.judge(&mut refused, &attempted(refusal.clone(), true, now), None, now);
            verdicts.push(matches!(verdict, Verdict::Suspend { .. }));
            // Of another delivery, and of this one.
            let now = at(count * 40 + 10);
            for job in [&mut other, &mut refused] {
                judge.judge(job, &attempted(retry(), asked, now), None, now);
            }
            assert_eq!(refused.delivery.suspends.is_none(), asked, "what this one met itself");
        }
        assert_eq!(verdicts, [false, false, !asked]);
    }
}
