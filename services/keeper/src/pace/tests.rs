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
fn a_rate_spreads_its_turns_and_does_not_save_them_up() {
    let start = Instant::now();
    let mut pace = Pace::new(Some(10), start);
    assert_eq!(pace.take(start), start);
    assert_eq!(pace.take(start), start + Duration::from_millis(100));
    let later = start + Duration::from_secs(5);
    assert_eq!(pace.take(later), later);
    assert_eq!(pace.take(later), later + Duration::from_millis(100));
    assert_eq!(Pace::new(None, start).take(later), later);
}
