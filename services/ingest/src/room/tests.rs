use std::time::Duration;

use super::*;

const STORAGE: u64 = 10_000;

fn marks(left: Option<u64>) -> Marks {
    Marks {
        refusals_left: left,
        ..Marks::default()
    }
}

#[test]
fn a_process_files_half_of_what_is_left_until_the_next_look() {
    let now = Instant::now();
    let mut room = Room::default();
    let mut take = |at, left, bytes| room.take(Look::At(at, &marks(Some(left))), bytes, STORAGE);
    assert!(take(now, 100, 30));
    assert!(!take(now, 100, 21), "51 of 100");
    assert!(take(now, 100, 20));
    assert!(!take(now, 100, 1));
    let later = now + Duration::from_secs(10);
    assert!(take(later, 40, 20));
    assert!(!take(later, 40, 1));
}

#[test]
fn where_no_keeper_looks_nothing_is_refused_any_more() {
    let mut room = Room::default();
    assert!(!room.take(Look::Lapsed, 1, STORAGE));
    assert!(room.take(Look::Never, 100, STORAGE), "before the first look a little");
    assert!(!room.take(Look::Never, 1, STORAGE));
    assert!(room.take(Look::At(Instant::now(), &marks(None)), 100, STORAGE));
}

#[test]
fn once_dead_is_full_nothing_is_refused_until_the_next_look_finds_room() {
    let now = Instant::now();
    let mut room = Room::default();
    assert!(room.take(Look::At(now, &marks(Some(100))), 1, STORAGE));
    assert!(room.fill());
    assert!(!room.fill(), "known already");
    assert!(!room.take(Look::At(now, &marks(Some(100))), 1, STORAGE));
    let later = now + Duration::from_secs(10);
    assert!(room.take(Look::At(later, &marks(Some(100))), 1, STORAGE));
    let full = Marks {
        refusals_full: true,
        ..marks(Some(100))
    };
    assert!(!room.take(Look::At(later, &full), 1, STORAGE));
}
