use std::sync::{Mutex, MutexGuard};

use signalbox_proto::{
    Timestamp,
    totals::{Counted, Mark},
};

use super::*;
use crate::decide::tests::delivery;

/// What KV does once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A read fails.
    Read,
    /// A write is not done.
    Write,
    /// A write is done, and its answer is lost.
    Answer,
    /// Another has written just before.
    Conflict,
    /// The question about the integration fails.
    Look,
    /// The totals are removed before the next read.
    Removed,
    /// A value cannot be read, now or ever.
    Unreadable,
}

#[derive(Default)]
struct Bucket {
    faults: Vec<Fault>,
    totals: Option<Totals>,
    revision: u64,
    is_deleted: bool,
    writes: usize,
}

/// A bucket that fails as it is told.
struct Fake(Mutex<Bucket>);

impl Fake {
    fn new(totals: Option<Totals>, faults: &[Fault]) -> Self {
        Self(Mutex::new(Bucket {
            faults: faults.to_vec(),
            revision: totals.as_ref().map_or(0, |_| 7),
            totals,
            ..Bucket::default()
        }))
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.0.lock().expect("no test panics with it")
    }
}

impl Bucket {
    fn has(&mut self, fault: Fault) -> bool {
        let at = self.faults.iter().position(|known| *known == fault);
        at.map(|at| self.faults.remove(at)).is_some()
    }
}

fn silent() -> Error {
    Error::Kv {
        what: "ask".into(),
        bucket: subjects::STATE,
        reason: "timed out".into(),
    }
}

impl Kept for Fake {
    async fn read(&self) -> Result<Option<Entry<Totals>>, Error> {
        let mut bucket = self.bucket();
        if bucket.has(Fault::Read) {
            return Err(silent());
        }
        if bucket.has(Fault::Unreadable) {
            let error = signalbox_proto::wire::decode::<Totals>(b"no totals").expect_err("no totals");
            return Err(Error::Wire(error));
        }
        let revision = bucket.revision;
        Ok(bucket.totals.clone().map(|value| Entry { value, revision }))
    }

    async fn write(&self, totals: &Totals, revision: u64) -> Result<u64, Error> {
        let mut bucket = self.bucket();
        bucket.writes += 1;
        let there = bucket.totals.as_ref().map_or(0, |_| bucket.revision);
        if bucket.has(Fault::Conflict) {
            if bucket.has(Fault::Removed) {
                bucket.totals = None;
            }
            return Err(Error::Conflict { key: "totals".into() });
        }
        if bucket.has(Fault::Write) {
            return Err(silent());
        }
        if revision != there {
            return Err(Error::Conflict { key: "totals".into() });
        }
        bucket.revision += 1;
        bucket.totals = Some(totals.clone());
        match bucket.has(Fault::Answer) {
            true => Err(silent()),
            false => Ok(bucket.revision),
        }
    }

    async fn is_wanted(&self) -> Result<bool, Error> {
        let mut bucket = self.bucket();
        match bucket.has(Fault::Look) {
            true => Err(silent()),
            false => Ok(!bucket.is_deleted),
        }
    }

    async fn remove(&self) -> Result<(), Error> {
        self.bucket().totals = None;
        Ok(())
    }
}

fn add(totals: &mut Totals) {
    let tick = Counted {
        kind: "tick".to_owned(),
        agent: "system".to_owned(),
    };
    totals.count(Mark::of(&delivery()), &[tick], Timestamp::from_secs(60));
}

/// How often a tick was counted.
fn ticks(totals: &Totals) -> u64 {
    totals
        .kinds()
        .flat_map(|(_, agents)| agents)
        .map(|(_, total)| total)
        .sum()
}

/// Totals of another delivery.
fn others() -> Totals {
    let mut totals = Totals::default();
    let another = signalbox_proto::Delivery {
        id: "another".to_owned(),
        ..delivery()
    };
    let tick = Counted {
        kind: "tick".to_owned(),
        agent: "system".to_owned(),
    };
    totals.count(Mark::of(&another), &[tick], Timestamp::from_secs(60));
    totals
}

#[tokio::test(start_paused = true)]
async fn whatever_kv_does_each_delivery_is_counted_once() {
    use Fault::{Answer, Conflict, Look, Read, Write};
    let some: [&[Fault]; 7] = [
        &[],
        &[Read, Read],
        &[Write],
        &[Answer],
        &[Conflict, Conflict],
        &[Read, Write, Answer, Conflict],
        &[Answer, Answer, Answer, Look, Look],
    ];
    for before in [None, Some(others())] {
        for faults in some {
            let count_before = before.as_ref().map_or(0, ticks);
            let kept = Fake::new(before.clone(), faults);
            let counted = count(&kept, add).await.expect("no error of ours").expect("totals");
            assert_eq!(ticks(&counted), count_before + 1);
            assert_eq!(
                kept.bucket().totals.as_ref(),
                Some(&counted),
                "what is pushed is stored"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn totals_of_a_deleted_integration_do_not_come_back() {
    use Fault::{Answer, Conflict, Look, Read, Removed};
    // None are there any more, and the delivery in hand would make new ones.
    for faults in [&[][..], &[Answer], &[Look, Read]] {
        let kept = Fake::new(None, faults);
        kept.bucket().is_deleted = true;
        assert_eq!(count(&kept, add).await.expect("no error of ours"), None);
        assert_eq!(kept.bucket().totals, None);
        assert!(kept.bucket().writes > 0);
    }
    // They are removed between the look at them and the write.
    let kept = Fake::new(Some(others()), &[Conflict, Removed]);
    assert_eq!(count(&kept, add).await.expect("no error of ours"), None);
    assert_eq!(kept.bucket().totals, None);
}

#[tokio::test(start_paused = true)]
async fn who_always_finds_another_before_it_or_silence_gives_up_and_what_cannot_be_read_is_an_error() {
    let kept = Fake::new(None, &[Fault::Conflict; CONFLICTS_MAX]);
    assert_eq!(count(&kept, add).await.expect("no error of ours"), None);
    assert_eq!(kept.bucket().writes, CONFLICTS_MAX);
    let kept = Fake::new(None, &[Fault::Read; 1_000]);
    let began = Instant::now();
    assert!(matches!(count(&kept, add).await, Err(Error::Kv { .. })));
    assert!(began.elapsed() < 2 * SILENCE_MAX, "{:?}", began.elapsed());
    let kept = Fake::new(None, &[Fault::Unreadable]);
    assert!(matches!(count(&kept, add).await, Err(Error::Wire(_))));
}
