//! The loop: messages of both streams into a batch, the batch into the database.
//!
//! One batch is in hand at a time. While the database does not take it, nothing more is pulled, so that the streams
//! keep what waits, and it is tried again for as long as it takes.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use signalbox_broker::Message;
use signalbox_proto::{DeadLetter, Timestamp, act::Mark, subjects, wire};
use signalbox_store::{
    Error as StoreError,
    history::{Apart, Batch, Position, Proof, Written},
};
use tokio::time::Instant;

use crate::{Error, Recorder, stream::Stream};

/// The first and the last wait before the database is tried again.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_LAST: Duration = Duration::from_secs(5);
/// Refusals of a batch after which it is written piece by piece.
const REFUSALS_MAX: u32 = 3;
/// Pieces of a batch that were refused, of which the log tells.
const TOLD_MAX: usize = 10;
/// Between two looks at how much waits.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What the loop lets its watcher know.
#[derive(Debug, Default)]
struct Progress {
    outcomes: Place,
    dead: Place,
    /// When the oldest message in hand was stored; 0 for none.
    oldest: AtomicI64,
}

/// How far one stream is recorded.
#[derive(Debug, Default)]
struct Place {
    incarnation: AtomicI64,
    seq: AtomicU64,
}

impl Place {
    fn set(&self, position: &Position) {
        self.incarnation.store(position.incarnation.nanos(), Ordering::Relaxed);
        self.seq.store(position.seq, Ordering::Relaxed);
    }
}

/// Records until the process is asked to stop, which ends it after what is in hand, or until something is not as it
/// was.
pub(crate) async fn run(recorder: &Recorder) -> Result<(), Error> {
    let mut streams = open(recorder).await?;
    let progress = Progress::default();
    // What is new about the positions is written with the first batch; until then it is what counts.
    progress.outcomes.set(&streams.outcomes.step().to);
    progress.dead.set(&streams.dead.step().to);
    recorder.health.ready();
    let ended = tokio::select! {
        ended = streams.record(recorder, &progress) => ended,
        ended = watch(recorder, &progress) => ended,
    };
    for name in [subjects::OUTCOMES, subjects::DEAD] {
        recorder.told.behind.with([name]).set(0.0);
    }
    recorder.told.behind_seconds.set(0.0);
    ended
}

/// Both streams from where they are recorded; waits for the database.
async fn open(recorder: &Recorder) -> Result<Streams, Error> {
    let mut positions = [None, None];
    for (position, name) in positions.iter_mut().zip([subjects::OUTCOMES, subjects::DEAD]) {
        let mut patience = Patience::new(recorder);
        *position = loop {
            match recorder.store.position(name).await {
                Ok(position) => break position,
                Err(error) => patience.wait(error).await?,
            }
        };
    }
    let [outcomes, dead] = positions;
    Ok(Streams {
        outcomes: Stream::open(&recorder.broker, subjects::OUTCOMES, outcomes).await?,
        dead: Stream::open(&recorder.broker, subjects::DEAD, dead).await?,
        told: HashSet::new(),
    })
}

/// Both streams, read side by side.
struct Streams {
    outcomes: Stream,
    dead: Stream,
    /// Kinds of records that could not be read, of which the log has one each.
    told: HashSet<&'static str>,
}

impl Streams {
    async fn record(&mut self, recorder: &Recorder, progress: &Progress) -> Result<(), Error> {
        loop {
            let (batch, seen) = self.gather(recorder, progress).await;
            if seen > 0 {
                self.write(recorder, &batch).await?;
                progress.outcomes.set(&self.outcomes.written());
                progress.dead.set(&self.dead.written());
                progress.oldest.store(0, Ordering::Relaxed);
            }
            if recorder.process.shutdown.is_requested() {
                return Ok(());
            }
        }
    }

    /// Takes messages until a batch is full, or its first one has waited long enough. Returns how many.
    async fn gather(&mut self, recorder: &Recorder, progress: &Progress) -> (Batch, u64) {
        let mut batch = Batch::default();
        let mut seen = 0;
        let mut until: Option<Instant> = None;
        while batch.records() < recorder.config.batch_max {
            let message = tokio::select! {
                message = self.outcomes.next() => Ok(message),
                message = self.dead.next() => Err(message),
                () = at(until) => break,
                () = recorder.process.shutdown.requested() => break,
            };
            if until.is_none() {
                until = Some(Instant::now() + recorder.config.batch_wait);
                let (Ok(message) | Err(message)) = &message;
                progress.oldest.store(message.place.at.nanos(), Ordering::Relaxed);
            }
            seen += 1;
            match message {
                Ok(message) => self.outcomes_message(recorder, &mut batch, &message),
                Err(message) => self.dead_message(recorder, &mut batch, &message),
            }
        }
        (batch, seen)
    }

    fn outcomes_message(&mut self, recorder: &Recorder, batch: &mut Batch, message: &Message) {
        let place = message.place;
        note_gap(recorder, batch, self.outcomes.take(place.seq, place.at));
        match wire::decode_records(&message.body) {
            Ok((records, unknown)) => {
                for record in records {
                    batch.record(record, place.at);
                }
                if unknown > 0 {
                    self.unreadable(recorder, "record", unknown as u64, place.seq, None);
                }
            }
            Err(error) => self.unreadable(recorder, "batch", 1, place.seq, Some(&error)),
        }
    }

    fn dead_message(&mut self, recorder: &Recorder, batch: &mut Batch, message: &Message) {
        let place = message.place;
        note_gap(recorder, batch, self.dead.take(place.seq, place.at));
        let incarnation = self.dead.incarnation();
        if subjects::is_dead_mark(&message.subject) {
            match wire::decode::<Mark>(&message.body) {
                Ok(mark) => batch.mark(incarnation, &mark),
                Err(error) => self.unreadable(recorder, "mark", 1, place.seq, Some(&error)),
            }
        } else {
            match wire::decode::<DeadLetter>(&message.body) {
                Ok(letter) => batch.letter(place.seq, place.at, incarnation, &letter),
                Err(error) => self.unreadable(recorder, "dead_letter", 1, place.seq, Some(&error)),
            }
        }
    }

    /// Counts what cannot be read. The log has it once for each kind, as there may be many.
    fn unreadable(
        &mut self,
        recorder: &Recorder,
        kind: &'static str,
        count: u64,
        seq: u64,
        error: Option<&wire::Error>,
    ) {
        recorder.told.unreadable.with([kind]).inc_by(count);
        if self.told.insert(kind) {
            let error = error.map(tracing::field::display);
            tracing::error!(
                error,
                kind,
                seq,
                "a record cannot be read: it is passed by, as are others of its kind"
            );
        }
    }

    /// Writes a batch, however long the database is away. While the process is asked to stop it is tried once: what is
    /// not written then is read again after the next start. What is refused as a whole is handed back once, see
    /// [`crate::refused`].
    async fn write(&self, recorder: &Recorder, batch: &Batch) -> Result<(), Error> {
        let steps = [self.outcomes.step(), self.dead.step()];
        let mut patience = Patience::new(recorder);
        let mut refusals = 0;
        let proof = recorder.handed_back.proof(&steps);
        loop {
            let began = Instant::now();
            // What is refused again and again is looked at piece by piece: one row must not hold up all others.
            let is_apart = refusals >= REFUSALS_MAX;
            let written = if is_apart {
                recorder
                    .store
                    .record_apart(batch, &steps, proof)
                    .await
                    .map(|apart| left_out(recorder, apart))
            } else {
                recorder.store.record(batch, &steps).await
            };
            match written {
                Ok(written) => {
                    let told = &recorder.told;
                    told.write.observe(began.elapsed().as_secs_f64());
                    told.records.inc_by(batch.records());
                    told.new.inc_by(written.new as u64);
                    told.changed.inc_by(written.changed as u64);
                    recorder.health.ready();
                    return Ok(());
                }
                // Another recorder was faster; or this one, and its commit was answered with a broken connection.
                Err(error @ StoreError::Conflict { .. }) => return Err(error.into()),
                Err(error) if is_apart && proof == Proof::Another && error.is_of_row() => {
                    recorder.told.failures.inc();
                    recorder.handed_back.note(&steps);
                    return Err(error.into());
                }
                Err(error) => {
                    recorder.told.failures.inc();
                    refusals += u32::from(!error.is_transient());
                    patience.wait(error).await?;
                }
            }
        }
    }
}

/// Tells of pieces of a batch that the database refuses for good.
fn left_out(recorder: &Recorder, apart: Apart) -> Written {
    recorder
        .told
        .unreadable
        .with(["refused"])
        .inc_by(apart.refused.len() as u64);
    for (what, error) in apart.refused.iter().take(TOLD_MAX) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            what,
            "the database refuses this for good: it is not in the history"
        );
    }
    apart.written
}

fn note_gap(recorder: &Recorder, batch: &mut Batch, gap: Option<signalbox_store::history::Gap>) {
    let Some(gap) = gap else { return };
    let count = gap.last_seq - gap.first_seq + 1;
    tracing::warn!(
        stream = gap.stream,
        first_seq = gap.first_seq,
        count,
        "a stream let go of messages before they were recorded: history has a gap"
    );
    recorder.told.missed.with([&gap.stream]).inc_by(count);
    batch.gap(gap);
}

/// Waits longer from failure to failure, and says so.
struct Patience<'a> {
    recorder: &'a Recorder,
    wait: Duration,
}

impl<'a> Patience<'a> {
    fn new(recorder: &'a Recorder) -> Self {
        Self {
            recorder,
            wait: WAIT_FIRST,
        }
    }

    /// Gives up where the process was asked to stop, and ends early where it is asked meanwhile.
    async fn wait(&mut self, error: StoreError) -> Result<(), Error> {
        let recorder = self.recorder;
        if recorder.process.shutdown.is_requested() {
            return Err(error.into());
        }
        let reason = if error.is_transient() {
            "the database does not answer: history waits in the streams"
        } else {
            "the database refuses what is written: history waits in the streams"
        };
        recorder.health.degraded(reason);
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            wait_ms = self.wait.as_millis() as u64,
            "history cannot be written yet; trying again"
        );
        tokio::select! {
            () = tokio::time::sleep(self.wait) => {}
            () = recorder.process.shutdown.requested() => {}
        }
        self.wait = (self.wait * 2).min(WAIT_LAST);
        Ok(())
    }
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Tells how much waits. Ends where a stream is not the one that is read any more, or lost its end.
async fn watch(recorder: &Recorder, progress: &Progress) -> Result<(), Error> {
    loop {
        for (name, place) in [
            (subjects::OUTCOMES, &progress.outcomes),
            (subjects::DEAD, &progress.dead),
        ] {
            // Read before the stream is asked, which then has at least as much.
            let incarnation = place.incarnation.load(Ordering::Relaxed);
            let seq = place.seq.load(Ordering::Relaxed);
            match recorder.broker.stream_state(name).await {
                Ok(state) if state.created.nanos() != incarnation || state.last_seq < seq => {
                    return Err(Error::Replaced(name));
                }
                Ok(state) => {
                    let behind = state.last_seq - seq;
                    recorder.told.behind.with([name]).set(behind as f64);
                }
                Err(error) => tracing::debug!(%error, stream = name, "cannot see how much waits"),
            }
        }
        let oldest = progress.oldest.load(Ordering::Relaxed);
        let waits = match oldest {
            0 => Duration::ZERO,
            at => Timestamp::now().since(Timestamp::from_nanos(at)),
        };
        recorder.told.behind_seconds.set(waits.as_secs_f64());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
