//! Looking for a comment whose answer was lost: through the comments of its issue, from the newest back to the time at which it
//! was asked for.
//!
//! Of an answer 64 KiB are read. Where a page was cut, what it did not show is asked for one by one. A comment that is cut alone
//! is somebody else's: ours have at most [`super::document::COMMENT_BYTES_MAX`].

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use signalbox_proto::{Outcome, Timestamp};

use super::{Jira, answers, issue};
use crate::{
    Target,
    http::Response,
    mended,
    once::{CLOCKS, listed},
    things::{Known, Move},
    tracker::{Job, Looking, Made},
};

/// Comments that are asked for together.
pub(super) const PAGE: usize = 10;
/// Most requests of one look: 400 comments, or fewer long ones.
const ASKED_MAX: usize = 40;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: usize,
    comments: Option<Vec<Listed>>,
}

/// A comment of a list. Of the last one before a cut all may be missing.
#[derive(Deserialize)]
struct Listed {
    id: Option<String>,
    #[serde(default, deserialize_with = "when")]
    created: Option<Timestamp>,
    #[serde(default)]
    body: Value,
}

/// What a page shows.
enum Shown {
    /// It is there.
    Ours(Made),
    /// It is not there: what comes now is older than it could be.
    Older,
    /// It is none of these.
    Others {
        /// How many there are.
        count: usize,
        /// How many the issue has, with those that the account may not see.
        total: usize,
        /// Whether the answer was cut, so that the last of them was seen in part.
        cut: bool,
    },
}

/// The comment that bears the marker and was asked for at that time; an error is what comes first.
pub(super) fn comment(
    target: &Target<Jira>,
    job: &Job<'_>,
    looking: &Looking<'_>,
    since: Timestamp,
    known: &Known<'_>,
    now: Timestamp,
) -> Result<Option<Made>, Box<Move>> {
    let done = |outcome| Box::new(Move::Done(outcome));
    // The place of the next one, and where the page ends that was cut.
    let (mut at, mut alone_before) = (0, 0);
    for asked in 0..ASKED_MAX {
        let size = if at < alone_before { 1 } else { PAGE };
        let name = match asked {
            // By this name alone it is known that the issue is gone.
            0 => looking.name.to_owned(),
            _ => format!("{} {at} {size}", looking.name),
        };
        let Some(answer) = known.answer(&name) else {
            return Err(Move::Ask(name.into(), issue::comments(target, job.issue, at, size)).into());
        };
        match read(answer, &job.marker, since - CLOCKS, now).map_err(done)? {
            Shown::Ours(made) => return Ok(Some(made)),
            Shown::Older => return Ok(None),
            Shown::Others {
                count,
                total,
                cut: false,
            } if count < size && total <= at + size => return Ok(None),
            Shown::Others { count, cut: true, .. } if size > 1 => {
                alone_before = at + size;
                at += count.saturating_sub(1);
            }
            Shown::Others { .. } => at += size,
        }
    }
    let too_many = "more comments were made since then than are looked through";
    match listed::undecided(job.delivery, since, too_many) {
        Some(outcome) => Err(done(outcome)),
        None => Ok(None),
    }
}

fn read(response: &Response, marker: &str, oldest: Timestamp, now: Timestamp) -> Result<Shown, Outcome> {
    if response.status != 200 {
        return Err(answers::refused(response, now));
    }
    let page: Option<Page> = mended::object(response);
    let Some((comments, total)) = page.and_then(|page| Some((page.comments?, page.total))) else {
        return Err(answers::not_jiras(response, now));
    };
    if let Some(ours) = comments.iter().find(|one| one.body.to_string().contains(marker)) {
        let id = ours.id.clone().unwrap_or_else(|| "found".to_owned());
        return Ok(Shown::Ours(Made { id, url: None }));
    }
    if comments.iter().any(|one| one.created.is_some_and(|at| at < oldest)) {
        return Ok(Shown::Older);
    }
    Ok(Shown::Others {
        count: comments.len(),
        total,
        cut: response.truncated,
    })
}

/// A time as `2026-01-01T10:15:00.000+0000`: without the colon that RFC 3339 asks for. None where it was cut, or is none.
fn when<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.as_deref().and_then(time))
}

fn time(text: &str) -> Option<Timestamp> {
    let with_colon = || {
        let (hours, minutes) = text.split_at_checked(text.len().checked_sub(2)?)?;
        format!("{hours}:{minutes}").parse().ok()
    };
    text.parse().ok().or_else(with_colon)
}

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;
    use serde_json::json;

    use super::*;

    const MARKER: &str = "signalbox-abc";
    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z

    fn shown(body: &str, truncated: bool) -> Result<Shown, Outcome> {
        let response = Response {
            status: 200,
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            truncated,
        };
        read(&response, MARKER, NOW, NOW)
    }

    fn comment(id: &str, text: &str, created: &str) -> Value {
        let body = json!({ "type": "doc", "content": [{ "type": "text", "text": text }] });
        json!({ "id": id, "body": body, "created": created })
    }

    #[test]
    fn a_page_shows_ours_or_its_end_or_others() {
        let page = |comments: Value| shown(&json!({ "comments": comments }).to_string(), false);
        let (new, old) = ("2026-01-01T01:00:00.000+0100", "2025-12-31T23:59:59.000+0000");
        let others = page(json!([comment("7", "by hand", new), comment("8", "signalbox", new)]));
        assert!(matches!(
            others,
            Ok(Shown::Others {
                count: 2,
                total: 0,
                cut: false
            })
        ));
        let ours = page(json!([comment("7", "by hand", new), comment("8", MARKER, new)]));
        assert!(matches!(ours, Ok(Shown::Ours(Made { id, .. })) if id == "8"));
        let older = page(json!([comment("7", "by hand", new), comment("6", "by hand", old)]));
        assert!(matches!(older, Ok(Shown::Older)));
        for other in ["{}", "[]", "<html>"] {
            assert!(matches!(shown(other, false), Err(Outcome::Retry { .. })), "{other}");
        }
    }

    #[test]
    fn of_a_page_that_was_cut_what_was_read_counts() {
        let whole = json!({ "comments": [comment("7", "by hand", ""), comment("8", MARKER, "")] }).to_string();
        let cut = |behind: &str| {
            let at = whole.find(behind).expect("a place") + behind.len();
            shown(whole.split_at(at).0, true)
        };
        assert!(matches!(
            cut("by h"),
            Ok(Shown::Others {
                count: 1,
                cut: true,
                ..
            })
        ));
        assert!(matches!(
            cut("signalbox-a"),
            Ok(Shown::Others {
                count: 2,
                cut: true,
                ..
            })
        ));
        assert!(matches!(cut(MARKER), Ok(Shown::Ours(_))));
    }

    #[test]
    fn times_of_jira_lack_a_colon() {
        assert_eq!(time("2026-01-01T01:00:00.000+0100"), Some(NOW));
        assert_eq!(time("2026-01-01T00:00:00Z"), Some(NOW));
        for other in ["", "0", "yesterday", "ü"] {
            assert_eq!(time(other), None, "{other}");
        }
    }
}
