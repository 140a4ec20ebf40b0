//! What is told of a panic, which is a bug: always where, and the text only where that is a part of the program.
//!
//! Any other text was put together from what was at hand: an `expect` shows the error that it met, a text that is cut in
//! the middle of a character is shown whole, an interpreter shows the values that it works on. That may be an event or a
//! secret, and the log holds neither. The place names the line that says why it could not happen.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    thread,
};

use crate::cli;

/// What stands in the place of a text that may hold what was worked on.
const LEFT_OUT: &str = "not told, as it may hold what was being worked on";

/// Tells of every panic of this process from now on, in place of the standard library.
pub(crate) fn install() {
    panic::set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let place = match panic.location() {
        Some(place) => place.to_string(),
        None => "an unknown place".to_owned(),
    };
    let text = literal(panic.payload()).unwrap_or(LEFT_OUT);
    // Not so in a command, before the log has begun, and in the midst of writing to it.
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(
            panic.place = place,
            panic.text = text,
            "it panicked, which is a bug: please report it with its place"
        );
    } else {
        let thread = thread::current();
        let thread = thread.name().unwrap_or("without a name");
        cli::say(&format!(
            "thread {thread} panicked at {place}: {text}\nthis is a bug: please report it with its place"
        ));
    }
    // It names functions and lines, and no values. Taken where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        cli::say(&backtrace.to_string());
    }
}

/// The text of a panic, where it stands in the source as it is.
fn literal(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}

#[cfg(test)]
mod tests;
