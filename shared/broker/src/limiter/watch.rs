//! Whether a window's counters answer, and when their stream is looked at: pure, with the time given.
//!
//! Counters that do not answer cost each question its timeout. So what one question has found counts for
//! all of the process for a while, and then one question tries for all.

use std::time::Duration;

use tokio::time::Instant;

/// How long counters that did not answer are left alone.
pub(super) const SILENT_FOR: Duration = Duration::from_secs(5);
/// How long the one who tries again may take, before another does.
const TRY_MAX: Duration = Duration::from_secs(8);
/// The shortest and the longest time between two looks at a stream.
const LOOK_APART: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What a process knows of the stream of one window's counters.
#[derive(Debug, Default)]
pub(super) struct Watch {
    silent_until: Option<Instant>,
    looked: Option<Look>,
}

/// The last look at the stream.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    /// Over which connection; another one may lead to a server that has begun anew.
    connection: u64,
    /// Whether the stream was there, or could be made.
    found: bool,
}

impl Watch {
    /// Whether a question may be asked now. Of those that come when the silence was waited out, the first may.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        match self.silent_until {
            None => true,
            Some(until) if until > now => false,
            Some(_) => {
                self.silent_until = Some(now + TRY_MAX);
                true
            }
        }
    }

    /// A question was answered; true where that is news.
    pub(super) fn answered(&mut self) -> bool {
        self.silent_until.take().is_some()
    }

    /// A question was not answered; true where that is news.
    pub(super) fn silent(&mut self, now: Instant) -> bool {
        self.silent_until.replace(now + SILENT_FOR).is_none()
    }

    /// Whether the stream is to be looked at before the next question.
    pub(super) fn must_look(&self, connection: u64, now: Instant) -> bool {
        self.looked.is_none_or(|look| {
            let every = if look.found { LOOK_EVERY } else { LOOK_APART };
            look.connection != connection || look.at + every <= now
        })
    }

    /// What a look has found that is young enough to stand for another, after a question that was not answered.
    pub(super) fn just_found(&self, now: Instant) -> Option<bool> {
        let look = self.looked.filter(|look| now < look.at + LOOK_APART)?;
        Some(look.found)
    }

    /// The stream was looked at.
    pub(super) fn looked(&mut self, connection: u64, found: bool, now: Instant) {
        self.looked = Some(Look {
            at: now,
            connection,
            found,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn what_one_question_has_found_counts_for_all_and_then_one_tries() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        assert!(watch.may_ask(now) && watch.may_ask(now), "nothing is known against it");
        assert!(watch.silent(now), "this is news");
        assert!(!watch.silent(now), "and this is not");
        assert!(!watch.may_ask(now + secs(4)));
        assert!(watch.may_ask(now + SILENT_FOR), "one tries");
        assert!(!watch.may_ask(now + SILENT_FOR), "and the others do not");
        assert!(watch.answered() && !watch.answered());
        assert!(watch.may_ask(now + SILENT_FOR) && watch.may_ask(now + SILENT_FOR));
    }

    #[test]
    fn one_who_was_to_try_and_did_not_is_followed_by_another() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        watch.silent(now);
        assert!(watch.may_ask(now + SILENT_FOR));
        assert!(!watch.may_ask(now + SILENT_FOR + TRY_MAX - secs(1)));
        assert!(watch.may_ask(now + SILENT_FOR + TRY_MAX));
    }

    #[test]
    fn a_stream_is_looked_at_first_after_a_reconnection_and_once_in_a_while() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        assert!(watch.must_look(1, now));
        watch.looked(1, true, now);
        assert!(!watch.must_look(1, now + secs(59)));
        assert!(watch.must_look(1, now + secs(60)) && watch.must_look(2, now));
        watch.looked(1, false, now);
        assert!(!watch.must_look(1, now + secs(1)) && watch.must_look(1, now + secs(2)));
    }

    #[test]
    fn a_look_stands_for_those_that_come_within_two_seconds() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        assert_eq!(watch.just_found(now), None);
        watch.looked(1, false, now);
        assert_eq!(watch.just_found(now + secs(1)), Some(false));
        assert_eq!(watch.just_found(now + secs(2)), None);
    }
}
