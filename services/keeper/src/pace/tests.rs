use super::*;

#[test]
fn the_window_follows_the_target() {
    let mut window = Window::new();
    let fast: Vec<u64> = (0..8).map(|_| window.more(0)).collect();
    assert_eq!(fast, [64, 128, 256, 512, 1_024, 2_048, 4_096, 4_096]);
    assert_eq!(window.more(4_096), 0);
    assert_eq!(window.0, 2_048);
    for _ in 0..20 {
        window.more(4_096);
    }
    assert_eq!(window.0, WINDOW_MIN);
}

#[test]
fn a_rate_spreads_its_turns_and_makes_up_for_a_moment_at_most() {
    let start = Instant::now();
    let mut pace = Pace::new(Some(10), start);
    assert_eq!(pace.take(start), start);
    assert_eq!(pace.take(start), start + Duration::from_millis(100));
    let later = start + Duration::from_secs(5);
    assert_eq!(pace.take(later), later);
    assert_eq!(pace.take(later), later + Duration::from_millis(100) - LATE_MAX);
    assert_eq!(Pace::new(None, start).take(later), later);
}

#[test]
fn a_high_rate_is_kept_although_sleeps_are_long() {
    let start = Instant::now();
    let mut pace = Pace::new(Some(5_000), start);
    let (mut now, mut taken) = (start, 0);
    while now < start + Duration::from_secs(1) {
        let at = pace.take(now);
        if at > now {
            // A sleep ends at the next whole millisecond, and a bit later.
            now += Duration::from_micros(1_300);
        }
        taken += 1;
    }
    assert!((4_900..=5_110).contains(&taken), "{taken}");
}
