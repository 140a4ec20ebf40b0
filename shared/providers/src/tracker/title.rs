//! What an issue is called.

use super::Job;
use crate::{
    About,
    display::{
        Display,
        text::{self, Measure},
    },
};

/// The name of an issue, at most so many units of UTF-16: the owner's, else that of its spec, whichever event made it, else
/// what happened.
pub(crate) fn title(job: &Job<'_>, about: &About, units_max: usize) -> String {
    let given = job.text.title.as_deref().map(|title| short(title, units_max));
    given
        .filter(|title| !title.is_empty())
        .or_else(|| job.said.spec_name().map(|name| short(&name, units_max)))
        .unwrap_or_else(|| short(&happened(&Display::of(job.delivery, about)), units_max))
}

/// `Alert Created: Latency of checkout is rising`; the message stands below, unless there is nothing else to say.
fn happened(display: &Display<'_>) -> String {
    match &display.headline {
        Some(headline) => format!("{}: {}", text::isolated(&display.title), text::isolated(headline)),
        None => display.line(),
    }
}

/// A clean line, cut.
pub(crate) fn short(line: &str, units_max: usize) -> String {
    let line = text::line(line, units_max);
    text::cut(&line, units_max, Measure::Utf16).into_owned()
}
