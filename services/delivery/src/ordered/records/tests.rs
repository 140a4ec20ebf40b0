use super::*;

fn records() -> Records {
    Records::new("i", &"webhook".parse().expect("a name"))
}

fn marks(batch: &[Entry]) -> Vec<Option<u64>> {
    batch.iter().map(|entry| entry.mark).collect()
}

#[test]
fn what_comes_while_a_message_is_under_way_goes_with_the_next() {
    let now = Instant::now();
    let mut records = records();
    records.push(Some(1), ByteBuf::new());
    let first = records.take(now).expect("one waits");
    assert_eq!(marks(&first), [Some(1)]);
    records.push(Some(2), ByteBuf::new());
    records.push(None, ByteBuf::new());
    assert!(records.take(now).is_none());
    records.stored();
    assert_eq!(marks(&records.take(now).expect("two wait")), [Some(2), None]);
}

#[test]
fn what_is_refused_is_kept_in_order_and_tried_after_a_while() {
    let now = Instant::now();
    let mut records = records();
    records.push(Some(1), ByteBuf::new());
    records.push(Some(2), ByteBuf::new());
    let batch = records.take(now).expect("two wait");
    records.push(Some(3), ByteBuf::new());
    assert!(records.refused(batch, now), "the first refusal is told of");
    assert!(records.is_full() && records.take(now).is_none());
    let later = now + FULL_RETRY;
    assert_eq!(records.next_try(), Some(later));
    let batch = records.take(later).expect("three wait");
    assert_eq!(marks(&batch), [Some(1), Some(2), Some(3)]);
    assert!(!records.refused(batch, later));
    records.take(later + FULL_RETRY).expect("three wait");
    records.stored();
    assert!(!records.is_full());
}

#[test]
fn one_message_holds_so_many_records_at_most() {
    let mut records = records();
    for mark in 0..300 {
        records.push(Some(mark), ByteBuf::new());
    }
    assert_eq!(records.take(Instant::now()).map(|batch| batch.len()), Some(RECORDS_MAX));
}
