//! What is too old goes.

use signalbox_proto::DeadReason;
use signalbox_store::history::{Batch, DeliveryFilter, LetterFilter, Old, PRUNED_MAX};

use super::records::{MADE, attempts, delivered, letter, record};
use crate::{harness::on_each, samples::at};

#[tokio::test]
async fn what_is_older_goes_some_at_a_time_and_nothing_else() {
    on_each(async |store| {
        let old = PRUNED_MAX + 200;
        record(&store, &attempts((1..=old + 10).map(delivered))).await;
        let before = at(old as i64 + 1);
        assert_eq!(store.prune(Old::Deliveries, before).await.unwrap(), PRUNED_MAX);
        assert_eq!(store.prune(Old::Deliveries, before).await.unwrap(), 200);
        assert_eq!(store.prune(Old::Deliveries, before).await.unwrap(), 0);
        let page = store.deliveries(&DeliveryFilter::default(), None, 200).await.unwrap();
        assert_eq!(page.items.len(), 10);
        // Figures are as old as the hours and days that they are of.
        for other in Old::ALL.into_iter().filter(|old| *old != Old::Stats) {
            assert_eq!(store.prune(other, before).await.unwrap(), 0, "{other:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn dead_letters_that_the_stream_let_go_of_go_too() {
    on_each(async |store| {
        let mut batch = Batch::default();
        for seq in 1..=9 {
            batch.letter(seq, at(100), MADE, &letter(seq, DeadReason::Rejected));
        }
        record(&store, &batch).await;
        assert_eq!(store.prune_dead_letters(MADE, 7).await.unwrap(), 6);
        let left = store.dead_letters(&LetterFilter::default(), None, 10).await.unwrap();
        assert_eq!(
            left.items.iter().map(|letter| letter.seq).collect::<Vec<_>>(),
            [9, 8, 7]
        );
        assert_eq!(store.prune(Old::DeadLetters, at(101)).await.unwrap(), 3);
    })
    .await;
}
