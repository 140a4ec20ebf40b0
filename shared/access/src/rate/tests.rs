use governor::clock::FakeRelativeClock;

use super::*;

#[test]
fn two_seconds_worth_goes_at_once_and_then_as_many_as_the_rate_says() {
    let clock = FakeRelativeClock::default();
    let rate = Rate::with_clock(NonZeroU32::new(10).expect("not 0"), clock.clone());
    let take_all = || (0..1_000).take_while(|_| rate.take().is_ok()).count();
    assert_eq!(take_all(), 20);
    assert_eq!(rate.take(), Err(Duration::from_millis(100)));
    clock.advance(Duration::from_millis(40));
    assert_eq!(rate.take(), Err(Duration::from_millis(60)));
    clock.advance(Duration::from_millis(460));
    assert_eq!(take_all(), 5);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(take_all(), 20, "no more after a long quiet");
}
