//! A batch of which the database refuses every piece.
//!
//! One piece that cannot be written, alone in its batch, looks like a database that takes nothing. So the batch is handed
//! back: recording begins anew at the same place, and what came meanwhile is in the batch with it. Where all of that
//! is refused too, a delivery that is made up says whether it is the fault of the pieces.

use std::sync::{Mutex, PoisonError};

use signalbox_store::history::{Move, Position, Proof};

/// Where the last batch began that was handed back.
#[derive(Debug, Default)]
pub(crate) struct HandedBack(Mutex<Option<Vec<Option<Position>>>>);

impl HandedBack {
    /// Notes that a batch with these steps is handed back.
    pub(crate) fn note(&self, steps: &[Move]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(begins(steps));
    }

    /// What has to show that the database takes what is written, before something of a batch with these steps is left out.
    pub(crate) fn proof(&self, steps: &[Move]) -> Proof {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*noted {
            Some(noted) if *noted == begins(steps) => Proof::MadeUp,
            _ => Proof::Another,
        }
    }
}

fn begins(steps: &[Move]) -> Vec<Option<Position>> {
    steps.iter().map(|step| step.from).collect()
}

#[cfg(test)]
mod tests;
