//! How a delivery stands, and which of two reports of that counts.

use signalbox_proto::{
    Attempt, DeadLetter, Delivery, Timestamp,
    ledger::Final,
    outcome::{Next, reason},
};

/// How a delivery stands, as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It is tried again at a known time.
    Retrying,
    /// It waits in PARKED.
    Parked,
    /// The target has it.
    Delivered,
    /// A person gave it up.
    Discarded,
    /// Signalbox gave it up.
    Dead,
    /// It waited too long.
    Expired,
    /// Recorded by a newer version.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Retrying,
        Self::Parked,
        Self::Delivered,
        Self::Discarded,
        Self::Dead,
        Self::Expired,
        Self::Unknown,
    ];

    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::Parked => "parked",
            Self::Delivered => "delivered",
            Self::Discarded => "discarded",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }

    /// The status of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether its generation is over.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Discarded | Self::Dead | Self::Expired)
    }
}

impl From<Final> for Status {
    fn from(state: Final) -> Self {
        match state {
            Final::Delivered => Self::Delivered,
            Final::Discarded => Self::Discarded,
            Final::Dead => Self::Dead,
            Final::Expired => Self::Expired,
            Final::Unknown => Self::Unknown,
        }
    }
}

impl From<Next> for Status {
    fn from(next: Next) -> Self {
        match next {
            Next::Final(state) => state.into(),
            Next::Retrying => Self::Retrying,
            Next::Parked => Self::Parked,
            Next::Unknown => Self::Unknown,
        }
    }
}

/// Which of two reports of one generation counts: any end, by the ledger's precedence, above none.
pub(super) const fn precedence(next: Next) -> u8 {
    match next {
        Next::Final(state) => 1 + state.rank(),
        Next::Retrying | Next::Parked | Next::Unknown => 0,
    }
}

/// Generation, precedence, attempt and source of a report in one number, in this order: 32, 3, 27 bits and one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(pub(super) i64);

/// Where a report comes from. Of two that say the same, the letter has the sentence for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Outcomes = 0,
    Letter = 1,
}

const ATTEMPT_MAX: u32 = (1 << 27) - 1;

impl Rank {
    fn new(generation: u32, precedence: u8, attempt: u32, source: Source) -> Self {
        let attempt = i64::from(attempt.min(ATTEMPT_MAX));
        Self(i64::from(generation) << 31 | i64::from(precedence & 7) << 28 | attempt << 1 | source as i64)
    }

    pub(super) fn generation(self) -> u32 {
        u32::try_from(self.0 >> 31).unwrap_or_default()
    }

    pub(super) fn attempt(self) -> u32 {
        u32::try_from(self.0 >> 1 & i64::from(ATTEMPT_MAX)).unwrap_or_default()
    }
}

/// One report of how a delivery stands. Of two the greater one counts: the higher rank, then the later one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    pub(super) rank: Rank,
    /// Since when.
    pub(super) at: Timestamp,
    pub(super) status: Status,
    pub(super) next_at: Option<Timestamp>,
    /// Why it was not delivered.
    pub(super) message: Option<String>,
}

impl Standing {
    /// What an attempt says.
    pub(super) fn of_attempt(attempt: &Attempt) -> Self {
        Self {
            rank: Rank::new(
                attempt.generation,
                precedence(attempt.next),
                attempt.attempt,
                Source::Outcomes,
            ),
            at: attempt.at,
            status: attempt.next.into(),
            next_at: attempt.next_at,
            message: attempt.error_message.clone(),
        }
    }

    /// What a dead letter says of its delivery.
    pub(super) fn of_letter(letter: &DeadLetter, delivery: &Delivery, at: Timestamp) -> Self {
        Self::ended(
            letter.reason.ledger(),
            (delivery.generation, delivery.attempt),
            at,
            letter.message.clone(),
        )
    }

    /// What it says of a delivery that a person gave its dead letter up.
    pub(super) fn discarded(attempt: (u32, u32), at: Timestamp, message: String) -> Self {
        Self::ended(Final::Discarded, attempt, at, message)
    }

    fn ended(state: Final, (generation, attempt): (u32, u32), at: Timestamp, message: String) -> Self {
        Self {
            rank: Rank::new(generation, precedence(Next::Final(state)), attempt, Source::Letter),
            at,
            status: state.into(),
            next_at: None,
            message: Some(reason(&message)),
        }
    }
}

#[cfg(test)]
mod tests;
