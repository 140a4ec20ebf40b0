//! Colours, where a person looks at a terminal and has not said no (`NO_COLOR`).

use std::io::IsTerminal as _;

/// Puts colours around words, or leaves them as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    colours: bool,
}

/// What a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It has arrived.
    Good,
    /// It waits, or is tried again.
    Waits,
    /// It was given up.
    Bad,
    /// What one reads second.
    Faint,
    /// What one looks for.
    Bold,
}

impl Paint {
    /// Colours on a terminal alone.
    pub(crate) fn for_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colours: std::io::stdout().is_terminal() && !refused,
        }
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { colours: false }
    }

    pub(crate) fn word(self, tone: Tone, text: &str) -> String {
        if !self.colours || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Waits => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The word for a status, an outcome or a reason, in the colour of what it means.
    pub(crate) fn status(self, word: &str) -> String {
        let tone = match word {
            "delivered" | "success" => Tone::Good,
            "pending" | "retrying" | "parked" | "retry" | "suspend" => Tone::Waits,
            "dead" | "reject" | "rejected" | "exhausted" | "expired" | "poison" | "invalid" => Tone::Bad,
            _ => Tone::Faint,
        };
        self.word(tone, word)
    }
}

/// A text on one line, without what could steer a terminal: names and answers come from strangers.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
