//! How serious an event is.

use serde::{Deserialize, Serialize};

/// One of four degrees, in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Also read from `sev4` and `info`.
    #[default]
    Low,
    /// Also read from `sev3` and `warning`.
    Medium,
    /// Also read from `sev2` and `error`.
    High,
    /// Also read from `sev1`.
    Critical,
}

impl Severity {
    /// The four, in rising order.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Reads a severity as producers write it, in any case; `None` for an unknown word.
    pub fn read(text: &str) -> Option<Self> {
        const WORDS: [(&str, Severity); 11] = [
            ("low", Severity::Low),
            ("medium", Severity::Medium),
            ("high", Severity::High),
            ("critical", Severity::Critical),
            ("sev4", Severity::Low),
            ("sev3", Severity::Medium),
            ("sev2", Severity::High),
            ("sev1", Severity::Critical),
            ("info", Severity::Low),
            ("warning", Severity::Medium),
            ("error", Severity::High),
        ];
        WORDS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, severity)| *severity)
    }

    /// The word in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
