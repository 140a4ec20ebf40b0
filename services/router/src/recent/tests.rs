use super::*;

#[test]
fn a_sequence_is_known_for_its_while_and_then_forgotten() {
    let start = Instant::now();
    let mut recent = Recent::new(Duration::from_secs(10));
    recent.insert(1, start);
    recent.insert(2, start + Duration::from_secs(5));
    assert!(recent.contains(1) && recent.contains(2));
    recent.insert(3, start + Duration::from_secs(11));
    assert!(!recent.contains(1) && recent.contains(2) && recent.contains(3));
}

#[test]
fn memory_is_bounded_whatever_the_time() {
    let start = Instant::now();
    let mut recent = Recent::new(Duration::from_secs(3_600));
    for seq in 0..(LENGTH_MAX as u64 + 10) {
        recent.insert(seq, start);
    }
    assert_eq!(recent.order.len(), LENGTH_MAX);
    assert!(!recent.contains(0) && recent.contains(LENGTH_MAX as u64));
}
