//! Writing a batch that the database refuses as a whole: piece by piece, so that one row that cannot be written does not
//! hold up the history of all others.
//!
//! A piece is written with steps that stay where they are: so a recorder that was overtaken meanwhile finds out at its first
//! piece. What is written twice is written once. The steps themselves come last.
//!
//! A piece is left out only where something else was taken: where the database refuses whatever it is given, a piece is not
//! at fault, and leaving out would lose all history. What is taken is another piece, as a rule ([`Proof`]).

use signalbox_proto::{
    Attempt, Name, Record, Timestamp,
    ledger::Final,
    outcome::{EventRef, Next},
};

use super::{
    batch::{Batch, Letter},
    position::Move,
    write::Written,
};
use crate::{Error, Store};

/// The id of a delivery that nobody owes. It is never committed.
const MADE_UP: &str = "made-up";

/// What shows that the database takes what is written, where it refuses a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Another piece of the batch.
    Another,
    /// Where there is no other either, a delivery that is made up for this, and taken back.
    MadeUp,
}

/// What writing a batch piece by piece came to.
#[derive(Debug, Default)]
pub struct Apart {
    /// What was written.
    pub written: Written,
    /// What the database refuses, each with what it is and why.
    pub refused: Vec<(String, Error)>,
}

impl Store {
    /// Writes what can be written of a batch, then takes its steps.
    ///
    /// # Errors
    /// Whatever is not about one row ([`Error::is_of_row`]): what passes by itself, a recorder that went on, a mistake of
    /// ours. And the last refusal, where every piece is refused and nothing proves that it is their fault. No step is
    /// taken then.
    pub async fn record_apart(&self, batch: &Batch, steps: &[Move], proof: Proof) -> Result<Apart, Error> {
        let mut apart = Apart::default();
        let mut taken = 0_usize;
        let stay: Vec<Move> = steps.iter().filter_map(Move::stay).collect();
        for (what, piece) in batch.pieces() {
            match self.record(&piece, &stay).await {
                Ok(written) => {
                    taken += 1;
                    apart.written.new += written.new;
                    apart.written.changed += written.changed;
                }
                Err(error) if error.is_of_row() => apart.refused.push((what, error)),
                Err(error) => return Err(error),
            }
        }
        if taken == 0 && proof == Proof::MadeUp {
            self.takes(&Batch::made_up(), &stay).await?;
        } else if taken == 0
            && let Some((_, error)) = apart.refused.pop()
        {
            return Err(error);
        }
        self.record(&Batch::default(), steps).await?;
        Ok(apart)
    }
}

impl Batch {
    /// A delivery of an event of which nothing can be wrong.
    fn made_up() -> Self {
        let now = Timestamp::now();
        let mut batch = Self::default();
        let attempt = Attempt {
            delivery: MADE_UP.to_owned(),
            generation: 0,
            attempt: 1,
            org: Name::default_org(),
            provider: MADE_UP.parse().expect("a name"),
            integration: MADE_UP.to_owned(),
            events: vec![EventRef {
                id: MADE_UP.to_owned(),
                source: MADE_UP.to_owned(),
                event_type: MADE_UP.parse().expect("a type"),
                seq: 1,
                accepted_at: now,
                matched: 1,
            }],
            at: now,
            duration_ms: 0,
            outcome: None,
            response_code: None,
            response_body: String::new(),
            error_message: None,
            next: Next::Final(Final::Delivered),
            next_at: None,
        };
        batch.record(Record::Attempt(attempt), now);
        batch
    }

    /// What it is made of, each with what it is.
    fn pieces(&self) -> Vec<(String, Self)> {
        let deliveries = self.deliveries.iter().map(|(id, recorded)| {
            let members = self.members.iter().filter(|(of, _)| of == id).cloned();
            let piece = Self {
                deliveries: [(id.clone(), recorded.clone())].into(),
                members: members.collect(),
                ..Self::default()
            };
            (format!("delivery {id}"), piece)
        });
        let letters = self.letters.iter().map(|(seq, letter): (&u64, &Letter)| {
            let piece = Self {
                letters: [(*seq, letter.clone())].into(),
                ..Self::default()
            };
            (format!("dead letter dl_{seq}"), piece)
        });
        // Behind the letters that they are about.
        let marks = self.marks.iter().map(|(place, marked)| {
            let piece = Self {
                marks: [(*place, *marked)].into(),
                ..Self::default()
            };
            (format!("a mark of dead letter dl_{}", place.1), piece)
        });
        let ranges = Self {
            unrouted: self.unrouted.clone(),
            gaps: self.gaps.clone(),
            ..Self::default()
        };
        let refused = Self {
            refused: self.refused.clone(),
            ..Self::default()
        };
        let others = [
            ("ranges of sequences".to_owned(), ranges),
            ("refused uses of keys".to_owned(), refused),
        ];
        let others = others.into_iter().filter(|(_, piece)| *piece != Self::default());
        deliveries.chain(letters).chain(marks).chain(others).collect()
    }
}
