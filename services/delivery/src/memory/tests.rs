use super::*;

#[test]
fn a_hop_is_in_hand_then_finished_then_forgotten() {
    let start = Instant::now();
    let mut memory = Memory::new(Duration::from_secs(60));
    memory.begin("a");
    assert_eq!(memory.get("a"), Some(Known::InHand));
    memory.finish("a", start);
    assert_eq!(memory.get("a"), Some(Known::Finished));
    memory.finish("b", start + Duration::from_secs(61));
    assert_eq!(memory.get("a"), None);
    memory.begin("c");
    memory.forget("c");
    assert_eq!(memory.get("c"), None);
}
