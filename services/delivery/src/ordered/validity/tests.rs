use std::sync::atomic::AtomicUsize;

use super::*;

#[test]
fn a_holder_that_has_not_renewed_for_two_thirds_of_the_time_sends_nothing() {
    let begun = Instant::now();
    let validity = Validity::new(begun);
    assert!(validity.holds(begun + Duration::from_secs(5)));
    assert!(!validity.holds(begun + super::super::leases::TTL * 2 / 3));
    validity.renew(begun + Duration::from_secs(3));
    assert!(validity.holds(begun + Duration::from_secs(8)));
    assert!(!validity.holds(begun + Duration::from_secs(9)));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_longer_than_a_lease_lasts_takes_no_further_step() {
    let steps = AtomicUsize::new(0);
    let validity = Validity::new(Instant::now());
    let request = async {
        for _ in 0..4 {
            steps.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(VALID / 3).await;
        }
    };
    assert_eq!(validity.bound(request).await, None);
    assert_eq!(steps.load(Ordering::Relaxed), 3, "none began after the lease had ended");
    validity.renew(Instant::now());
    let request = tokio::time::sleep(VALID / 3);
    assert_eq!(validity.bound(request).await, Some(()));
}
