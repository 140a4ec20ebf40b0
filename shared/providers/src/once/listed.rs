//! Looking through a list at the target for something of ours.
//!
//! Of an answer 64 KiB are read, and one issue may be longer than that: where a page was cut, what it did not show is asked for
//! one by one. What tells ours apart stands early in it, so that it is seen also where it is cut itself.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use signalbox_proto::{Delivery, Outcome, Timestamp};

use super::Seen;
use crate::{
    http::{self, Response},
    mended,
    things::Known,
};

/// Things that are asked for together.
const PAGE: usize = 10;
/// Most requests of one look: more than so many things are seldom made in the time of a doubt.
const ASKED_MAX: usize = 60;

/// A time; none where it was cut, or is none.
pub(crate) fn when<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A time in whole seconds, as targets take it.
pub(crate) fn time(at: Timestamp) -> String {
    Timestamp::from_secs(at.secs()).to_string()
}

/// What it means that nobody can tell by such a list whether something was made that was asked for at that time: a person is to
/// look. `None` where somebody has replayed it since, as who replays it wants it made.
pub(crate) fn undecided(delivery: &Delivery, since: Timestamp, why: &str) -> Option<Outcome> {
    let is_replayed = delivery.generation > 0 && since < delivery.since;
    (!is_replayed).then(|| Outcome::Reject {
        reason: format!(
            "an answer was lost, and whether it was done cannot be seen: {why}. Look there, and replay it if it was not"
        ),
    })
}

/// What an answer in another form than the vendor's means.
pub(crate) fn strange() -> Outcome {
    Outcome::Retry {
        reason: "the target answered a list in a form that is not its own".to_owned(),
        after: None,
    }
}

/// Reads a list until `each` has seen enough. `ask` asks for one page of it, given its size and its number; `refusal` is what
/// an answer without a list means. Each member of an item may be missing, where it was cut.
pub(crate) fn through<T: DeserializeOwned>(
    known: &Known<'_>,
    what: &str,
    ask: impl Fn(&str, &str) -> http::Request,
    refusal: impl Fn(&Response) -> Outcome,
    each: impl Fn(&T) -> Option<Seen>,
) -> Seen {
    // The place of the next one, and where the page ends that was cut.
    let (mut at, mut alone_before) = (0, 0);
    for _ in 0..ASKED_MAX {
        let size = if at < alone_before { 1 } else { PAGE };
        let name = format!("{what} {at} {size}");
        let Some(response) = known.answer(&name) else {
            let page = (at / size + 1).to_string();
            return Seen::Ask(name.into(), Box::new(ask(&size.to_string(), &page)));
        };
        if response.status != 200 {
            return Seen::End(refusal(response));
        }
        let Some(list) = mended::list::<T>(response) else {
            return Seen::End(strange());
        };
        if let Some(seen) = list.items.iter().find_map(&each) {
            return seen;
        }
        let count = list.items.len();
        match (list.cut, size) {
            (false, _) if count < size => return Seen::Absent,
            (false, _) => at += size,
            (true, 1) => at += 1,
            (true, _) => {
                alone_before = at + size;
                // The last of them was seen in part.
                at += count.saturating_sub(1);
            }
        }
    }
    Seen::Unclear("too much was made there since then to look through")
}
