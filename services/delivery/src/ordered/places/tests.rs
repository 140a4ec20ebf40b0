use super::*;

fn take(places: &mut Places, integration: &str) -> usize {
    (0..1_000)
        .take_while(|_| places.enter(integration) == Place::Free)
        .count()
}

#[test]
fn an_integration_has_its_share_and_all_have_the_whole() {
    let mut places = Places::new(128, 64);
    assert_eq!(take(&mut places, "a"), 64);
    assert_eq!(places.enter("a"), Place::NoneOfItsOwn);
    assert_eq!(take(&mut places, "b"), 64);
    assert_eq!(places.enter("c"), Place::None);
    places.leave("a", Some(Duration::from_millis(5)));
    assert_eq!(places.enter("c"), Place::Free);
}

#[test]
fn one_that_answers_slowly_leaves_places_to_others_once_they_are_few() {
    let mut places = Places::new(128, 64);
    assert_eq!(places.enter("slow"), Place::Free);
    places.leave("slow", Some(Duration::from_secs(15)));
    // Alone it has its whole share.
    assert_eq!(take(&mut places, "slow"), 64);
    for _ in 0..64 {
        places.leave("slow", Some(Duration::from_secs(15)));
    }
    assert_eq!(take(&mut places, "quick"), 64);
    assert_eq!(take(&mut places, "slow"), 8);
    places.leave("slow", Some(Duration::from_millis(5)));
    assert_eq!(take(&mut places, "slow"), 57);
}

#[test]
fn a_place_that_was_not_used_says_nothing_of_the_target() {
    let mut places = Places::new(4, 2);
    assert_eq!(places.enter("a"), Place::Free);
    places.leave("a", None);
    assert_eq!(take(&mut places, "a"), 2);
}
