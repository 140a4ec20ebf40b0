//! What a mail server's answers mean for a delivery, and who is still to get it.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use signalbox_proto::Outcome;

use crate::{
    Exchange,
    http::Response,
    mail::{self, Answer, Refused, Step},
};

/// A recipient of a delivery, as answers and reasons name it.
pub(super) struct Expected<'a> {
    /// Its number among all recipients of the integration.
    pub(super) number: usize,
    /// Where it stands in the config.
    pub(super) pointer: &'a str,
}

/// What comes next.
pub(super) enum Next {
    /// A transaction for these, by their numbers.
    Send(Vec<usize>),
    /// The end of this attempt.
    Done(Outcome),
}

/// Codes that ask for a login, or for another one (RFC 4954, section 6): no recipient and no message is at fault.
const LOGIN_CODES: [u16; 4] = [530, 534, 535, 538];
/// The enhanced code of credentials that are wrong (RFC 4954, section 6).
const LOGIN_WHY: &str = "5.7.8";

/// How long a recipient asks to be left alone who is refused for now: for no time beside the schedule of retries. A server that
/// puts off unknown senders, or has a mailbox that is full, works. An answer that says a time is no sign that it fails, and one
/// that says none to speak of holds nothing else up.
const RECIPIENT_AFTER: Duration = Duration::ZERO;
/// After a quota that is used up: Google's last for a day, which the eight steps of the usual schedule then span.
const QUOTA_AFTER: Duration = Duration::from_secs(2 * 3_600);
/// The server closes the connection, whoever the recipient is.
const CLOSING: u16 = 421;

/// What came of a delivery's transactions so far.
struct Tally {
    /// Those who have the message.
    got: Vec<usize>,
    /// Those who will never get it, with what the server said last.
    refused: BTreeMap<usize, Refused>,
}

impl Tally {
    fn of(so_far: &[Exchange]) -> Self {
        let mut tally = Self {
            got: Vec::new(),
            refused: BTreeMap::new(),
        };
        for answer in so_far.iter().filter_map(|exchange| Answer::of(&exchange.response)) {
            tally.got.extend(answer.got);
            let for_good = answer.not.into_iter().filter(Refused::is_for_good);
            tally.refused.extend(for_good.map(|refused| (refused.to, refused)));
        }
        tally
    }

    fn is_settled(&self, number: usize) -> bool {
        self.got.contains(&number) || self.refused.contains_key(&number)
    }
}

/// Decides from all answers of a delivery. A transaction brings the message to whoever the server takes; the others get one
/// of their own at once, and so does the rest of them, as long as each reaches somebody. So every transaction that somebody
/// got is a finished step, which the next attempt does not repeat.
pub(super) fn next(expected: &[Expected<'_>], so_far: &[Exchange]) -> Next {
    let tally = Tally::of(so_far);
    let left = || {
        let numbers = expected.iter().map(|one| one.number);
        numbers.filter(|number| !tally.is_settled(*number)).collect::<Vec<_>>()
    };
    let Some(last) = so_far.last() else {
        return Next::Send(left());
    };
    let Some(answer) = Answer::of(&last.response) else {
        return Next::Done(unread(&last.response));
    };
    let left = left();
    let login = answer
        .not
        .iter()
        .find(|refused| is_login(refused.code, refused.why.as_deref()));
    match login {
        _ if !answer.got.is_empty() && !left.is_empty() => return Next::Send(left),
        // Where somebody got it the login is right.
        Some(refused) if answer.got.is_empty() => {
            let reason = answered(refused.code, refused.why.as_deref(), Some(answer.step));
            return Next::Done(Outcome::Suspend { reason, at_once: false });
        }
        _ => {}
    }
    if left.is_empty() {
        return Next::Done(verdict(expected, &tally));
    }
    let have = match tally.got.len() {
        0 => String::new(),
        count => format!("; {count} of {} recipients have it already", expected.len()),
    };
    Next::Done(by_reply(&answer).map_reason(|reason| reason + &have))
}

/// All recipients are settled: they have it, or never will.
fn verdict(expected: &[Expected<'_>], tally: &Tally) -> Outcome {
    let refused: Vec<(&Expected<'_>, &Refused)> = expected
        .iter()
        .filter_map(|one| Some((one, tally.refused.get(&one.number)?)))
        .filter(|(one, _)| !tally.got.contains(&one.number))
        .collect();
    if refused.is_empty() {
        return Outcome::Delivered;
    }
    let others = if refused.len() == expected.len() {
        ""
    } else {
        ", the others have it"
    };
    let mut reason = format!(
        "the server refuses {} of {} recipients{others}:",
        refused.len(),
        expected.len()
    );
    for (one, no) in &refused {
        let codes = codes(no.code, no.why.as_deref());
        let words = words(no.code, no.why.as_deref())
            .map(|words| format!(", {words}"))
            .unwrap_or_default();
        write!(reason, " {} ({codes}{words})", one.pointer).expect("a string takes all");
    }
    Outcome::Reject { reason }
}

/// The meaning of a reply: 4xx may pass, and so does a quota. Other 5xx to the connection, the login or the sender are for the
/// owner to mend, as every delivery meets them; to a recipient or a message they say that this delivery will never be taken.
pub(super) fn by_reply(answer: &Answer) -> Outcome {
    let Answer { code, step, why, .. } = answer;
    let reason = answered(*code, why.as_deref(), Some(*step));
    let is_of_all = match step {
        Step::Greeting | Step::Ehlo | Step::StartTls | Step::Auth | Step::Noop | Step::Mail => true,
        Step::Rcpt | Step::Data => false,
    };
    match code {
        200..=299 if *step == Step::Noop => Outcome::Delivered,
        500..=599 if !mail::is_for_good(*code, why.as_deref()) => Outcome::Retry {
            reason,
            after: Some(QUOTA_AFTER),
        },
        500..=599 if is_of_all || is_login(*code, why.as_deref()) => Outcome::Suspend { reason, at_once: false },
        500..=599 => Outcome::Reject { reason },
        400..=499 if *step == Step::Rcpt && *code != CLOSING => Outcome::Retry {
            reason,
            after: Some(RECIPIENT_AFTER),
        },
        // Other 4xx, and what is no end of a transaction.
        _ => Outcome::Retry { reason, after: None },
    }
}

/// The meaning of an answer without its record. A message that was taken is known by its record alone.
pub(super) fn unread(response: &Response) -> Outcome {
    let code = response.status;
    let reason = answered(code, None, None);
    match code {
        500..=599 if is_login(code, None) => Outcome::Suspend { reason, at_once: false },
        500..=599 => Outcome::Reject { reason },
        _ => Outcome::Retry { reason, after: None },
    }
}

fn is_login(code: u16, why: Option<&str>) -> bool {
    LOGIN_CODES.contains(&code) || code >= 500 && why == Some(LOGIN_WHY)
}

/// `550 5.1.1`.
fn codes(code: u16, why: Option<&str>) -> String {
    match why {
        Some(why) => format!("{code} {why}"),
        None => code.to_string(),
    }
}

/// `the server answered 550 5.1.1 to RCPT TO: no such mailbox, or not allowed`.
fn answered(code: u16, why: Option<&str>, step: Option<Step>) -> String {
    let mut text = format!("the server answered {}", codes(code, why));
    if let Some(step) = step {
        write!(text, " to {step}").expect("a string takes all");
    }
    if let Some(words) = words(code, why) {
        write!(text, ": {words}").expect("a string takes all");
    }
    text
}

/// What codes mean, in few words (RFC 5321, section 4.2.3; RFC 4954, section 4.7).
fn words(code: u16, why: Option<&str>) -> Option<&'static str> {
    Some(match code {
        500..=599 if why == Some(mail::QUOTA) => "the account has sent as much as it may for now",
        421 => "it closes the connection",
        450 => "the mailbox is not available now",
        451 => "an error of its own",
        452 => "too little room, or too many recipients at once",
        454 => "it cannot check the login now",
        500..=504 => "it does not know the command",
        530 => "it asks for a login",
        534 => "it asks for a stronger login",
        535 => "the login is wrong",
        538 => "it asks for encryption",
        550 => "no such mailbox, or not allowed",
        551 => "the mailbox is elsewhere",
        552 => "the message is too large",
        553 => "the address is not allowed",
        554 => "refused",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
