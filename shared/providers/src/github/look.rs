//! Looking through a list of issues or comments for one of ours.
//!
//! Of an answer 64 KiB are read, and one issue may be longer than that: where a page was cut, what it did not show is asked for
//! one by one. The mark stands at the beginning of a body, so that it is seen also where that body is cut.

use serde::{Deserialize, Deserializer};
use signalbox_proto::{Outcome, Timestamp};

use super::answers;
use crate::{Request, http, mended, once::Seen, things::Known};

/// Issues or comments that are asked for together.
const PAGE: usize = 10;
/// Most requests of one look: so many things may have been made there since, and more.
const ASKED_MAX: usize = 60;

/// An issue or a comment, as far as it was read.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Listed {
    pub(super) id: Option<u64>,
    pub(super) number: Option<u64>,
    pub(super) html_url: Option<String>,
    #[serde(deserialize_with = "when")]
    pub(super) created_at: Option<Timestamp>,
    pub(super) body: Option<String>,
}

/// A time; none where it was cut.
fn when<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A time in whole seconds, as GitHub takes it.
pub(super) fn time(at: Timestamp) -> String {
    Timestamp::from_secs(at.secs()).to_string()
}

/// Reads a list until `each` has seen enough. `ask` asks for one page of it, given its size and its number.
pub(super) fn through(
    known: &Known<'_>,
    what: &str,
    now: Timestamp,
    ask: impl Fn(&str, &str) -> http::Request,
    each: impl Fn(&Listed) -> Option<Seen>,
) -> Seen {
    // The place of the next one, and where the page ends that was cut.
    let (mut at, mut alone_before) = (0, 0);
    for _ in 0..ASKED_MAX {
        let size = if at < alone_before { 1 } else { PAGE };
        let name = format!("{what} {at} {size}");
        let Some(response) = known.answer(&name) else {
            let page = (at / size + 1).to_string();
            return Seen::Ask(name.into(), Request::Http(ask(&size.to_string(), &page)));
        };
        if response.status != 200 {
            return Seen::End(answers::refusal(response, now));
        }
        let Some(list) = mended::list::<Listed>(response) else {
            return Seen::End(Outcome::Retry {
                reason: "the target answered a list in a form that is not GitHub's".to_owned(),
                after: None,
            });
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
