use super::*;

#[test]
fn a_hop_is_in_hand_then_finished_then_forgotten() {
    let start = Instant::now();
    let mut memory = Memory::new(Duration::from_secs(60));
    memory.begin([1; 16]);
    assert_eq!(memory.get([1; 16]), Some(Known::InHand));
    memory.finish([1; 16], start);
    assert_eq!(memory.get([1; 16]), Some(Known::Finished));
    memory.finish([2; 16], start + Duration::from_secs(61));
    assert_eq!(memory.get([1; 16]), None);
    memory.begin([3; 16]);
    memory.forget([3; 16]);
    assert_eq!(memory.get([3; 16]), None);
}
