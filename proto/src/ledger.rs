//! The one final state of every (event, integration).

use serde::{Deserialize, Serialize};

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Final {
    /// The target has it.
    Delivered,
    /// A person gave it up.
    Discarded,
    /// Signalbox gave it up.
    Dead,
    /// It waited too long.
    Expired,
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

impl Final {
    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Discarded => "discarded",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }

    /// Which of two ends of one generation counts: delivered > discarded > dead > expired. At most 4.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Delivered => 4,
            Self::Discarded => 3,
            Self::Dead => 2,
            Self::Expired => 1,
            Self::Unknown => 0,
        }
    }
}

/// One row: how a delivery ended, in its newest generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The generation that ended.
    pub generation: u32,
    /// How.
    pub state: Final,
}

impl Row {
    /// Joins two reports of the same delivery. Order and repetition of reports do not matter.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let key = |row: &Self| (row.generation, row.state.rank());
        if key(&other) > key(&self) { other } else { self }
    }
}

#[cfg(test)]
mod tests;
