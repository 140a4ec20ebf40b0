use super::*;

fn check(body: &str, expected: &str) {
    let Ok(Answer { error: Some(error), .. }) = serde_json::from_str(body) else {
        panic!("{body} is no error")
    };
    let verdict = match classify(&error) {
        Verdict::Repeat => "repeat",
        Verdict::Crossed => "crossed",
        Verdict::Done(Err(PublishError::Full { .. })) => "full",
        Verdict::Done(Err(PublishError::Stale { .. })) => "stale",
        Verdict::Done(Err(PublishError::Refused { .. })) => "refused",
        Verdict::Done(_) => "other",
    };
    assert_eq!(verdict, expected, "{body}");
}

#[test]
fn an_answer_says_whether_a_repeat_can_help() {
    check(r#"{"error":{"code":503,"description":"raft: not leader"}}"#, "repeat");
    check(
        r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#,
        "repeat",
    );
    check(
        r#"{"error":{"code":503,"err_code":10163,"description":"expected last sequence per subject temporarily unavailable"}}"#,
        "repeat",
    );
    check(
        r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#,
        "crossed",
    );
    check(
        r#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}"#,
        "crossed",
    );
    check(
        r#"{"error":{"code":503,"err_code":10077,"description":"store is closed"}}"#,
        "repeat",
    );
    check(
        r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#,
        "full",
    );
    check(
        r#"{"error":{"code":503,"err_code":10077,"description":"write 1.blk: no space left on device"}}"#,
        "full",
    );
    check(
        r#"{"error":{"code":503,"err_code":10023,"description":"insufficient resources"}}"#,
        "full",
    );
    check(
        r#"{"error":{"code":400,"err_code":10002,"description":"resource limits exceeded for account"}}"#,
        "full",
    );
    check(
        r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"}}"#,
        "stale",
    );
    check(
        r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#,
        "refused",
    );
}

#[test]
fn subjects_of_one_stream_have_one_share_and_those_of_others_have_others() {
    let streams: [&[&str]; 8] = [
        &["signalbox.event.0.acme.order.paid", "signalbox.event.7.zoo.t"],
        &[
            "signalbox.deliver.webhook.live.acme.i1",
            "signalbox.retry.webhook.live.acme.i1.d1",
        ],
        &["signalbox.deliver.slack.bulk.acme.i1"],
        &["signalbox.parked.acme.i1", "signalbox.parkgate.i1"],
        &["signalbox.dead.route.acme.-.-", "signalbox.deadmark.a1"],
        &["signalbox.rate.minute.i1.7"],
        &["signalbox.rate.hour.i1.7"],
        &["$KV.STATE.a", "$KV.LEASE.b"],
    ];
    let shares = Shares::default();
    let mut seen: Vec<&Arc<Share>> = Vec::new();
    for subjects in streams {
        let share = shares.of(subjects[0]);
        assert!(
            subjects.iter().all(|subject| Arc::ptr_eq(shares.of(subject), share)),
            "{subjects:?}"
        );
        assert!(seen.iter().all(|other| !Arc::ptr_eq(other, share)), "{subjects:?}");
        seen.push(share);
    }
}

#[test]
fn streams_over_the_bound_have_one_share_together() {
    let shares = Shares::default();
    let of = |number: usize| shares.of(&format!("signalbox.deliver.p{number}.live.acme.i1"));
    for number in 1..SHARES_MAX - 1 {
        assert!(!Arc::ptr_eq(of(number - 1), of(number)));
    }
    assert!(Arc::ptr_eq(of(SHARES_MAX), of(SHARES_MAX + 1)));
    assert!(!Arc::ptr_eq(of(0), of(SHARES_MAX)));
}

#[test]
fn the_task_that_repeats_is_woken_only_for_what_is_due_before_its_timer() {
    let now = Instant::now();
    let mut pending = Unanswered::default();
    let seconds = |count| now + Duration::from_secs(count);
    assert!(pending.is_early(seconds(5)), "no timer is set");
    assert!(!pending.is_early(seconds(5)));
    assert!(!pending.is_early(seconds(6)));
    assert!(pending.is_early(seconds(2)));
    assert!(!pending.is_early(seconds(3)));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_waited_for_while_the_stream_answers_others_and_so_long_after_that() {
    let shares = Shares::default();
    let share = shares.of("signalbox.parked.acme.i");
    let window = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let held = share
        .places
        .acquire_many(u32::try_from(SHARE_MAX).unwrap())
        .await
        .unwrap();
    let wait = Duration::from_millis(200);
    let begun = Instant::now();
    let answering = async {
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            share.answered();
        }
    };
    let (places, ()) = tokio::join!(share.places(&window, Some(wait)), answering);
    assert!(places.is_none());
    assert_eq!(begun.elapsed().as_millis(), 5_200);
    // A stream that never answered has the wait and no more.
    let silent = shares.of("signalbox.dead.acme.i");
    let all = silent
        .places
        .acquire_many(u32::try_from(SHARE_MAX).unwrap())
        .await
        .unwrap();
    let begun = Instant::now();
    assert!(silent.places(&window, Some(wait)).await.is_none());
    assert_eq!(begun.elapsed().as_millis(), 200);
    drop((held, all));
    assert!(share.places(&window, Some(wait)).await.is_some());
}
