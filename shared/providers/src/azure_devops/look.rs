//! Looking for a comment whose answer was lost: through the comments of its work item, from the newest back to the time at which
//! it was asked for.
//!
//! Of an answer 64 KiB are read, and the token of the next page stands at its end. So a page that was cut is asked for again one
//! by one; behind a comment that is cut alone nobody can see.

use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp};

use super::{AzureDevops, answers, item};
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
    comments: Option<Vec<Listed>>,
    #[serde(rename = "continuationToken")]
    next: Option<String>,
}

/// A comment of a list. Of the last one before a cut all may be missing.
#[derive(Deserialize)]
struct Listed {
    id: Option<u64>,
    text: Option<String>,
    #[serde(rename = "createdDate", default, deserialize_with = "listed::when")]
    created: Option<Timestamp>,
}

/// What a page shows.
enum Shown {
    /// It is there.
    Ours(Made),
    /// It is not there: what comes now is older than it could be, or there is no more.
    End,
    /// It is none of these, and the next page has this token.
    Others(String),
    /// The answer was cut.
    Cut,
}

/// The comment that bears the marker and was asked for at that time; an error is what comes first.
pub(super) fn comment(
    target: &Target<AzureDevops>,
    job: &Job<'_>,
    looking: &Looking<'_>,
    since: Timestamp,
    known: &Known<'_>,
    now: Timestamp,
) -> Result<Option<Made>, Box<Move>> {
    let done = |outcome| Box::new(Move::Done(outcome));
    let mut token: Option<String> = None;
    // How many are to be asked for one by one.
    let mut alone = 0_usize;
    let mut hidden = "more comments were made since then than are looked through";
    for asked in 0..ASKED_MAX {
        let size = if alone > 0 { 1 } else { PAGE };
        let name = match asked {
            // By this name alone it is known that the work item is gone.
            0 => looking.name.to_owned(),
            _ => format!("{} {asked}", looking.name),
        };
        let Some(answer) = known.answer(&name) else {
            let request = item::comments(target, job.issue, size, token.as_deref());
            return Err(Move::Ask(name.into(), request).into());
        };
        match read(answer, &job.marker, since - CLOCKS, now).map_err(done)? {
            Shown::Ours(made) => return Ok(Some(made)),
            Shown::End => return Ok(None),
            Shown::Others(next) => {
                token = Some(next);
                alone = alone.saturating_sub(1);
            }
            Shown::Cut if size > 1 => alone = PAGE,
            Shown::Cut => {
                hidden = "a comment is too long for those before it to be seen";
                break;
            }
        }
    }
    match listed::undecided(job.delivery, since, hidden) {
        Some(outcome) => Err(done(outcome)),
        None => Ok(None),
    }
}

fn read(response: &Response, marker: &str, oldest: Timestamp, now: Timestamp) -> Result<Shown, Outcome> {
    if response.status != 200 {
        return Err(answers::refused(response, now));
    }
    let page: Option<Page> = mended::object(response);
    let Some((comments, next)) = page.and_then(|page| Some((page.comments?, page.next))) else {
        return Err(answers::not_azures(response, now));
    };
    let is_ours = |one: &&Listed| one.text.as_deref().is_some_and(|text| text.contains(marker));
    if let Some(ours) = comments.iter().find(is_ours) {
        let id = ours.id.map_or_else(|| "found".to_owned(), |id| id.to_string());
        return Ok(Shown::Ours(Made { id, url: None }));
    }
    let is_older = |one: &Listed| one.created.is_some_and(|at| at < oldest);
    Ok(match next {
        _ if comments.iter().any(is_older) => Shown::End,
        _ if response.truncated => Shown::Cut,
        Some(next) if !comments.is_empty() => Shown::Others(next),
        _ => Shown::End,
    })
}

#[cfg(test)]
mod tests {
    use ::http::HeaderMap;

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

    /// In the order that Azure DevOps has.
    fn comment(id: u64, text: &str, created: &str) -> String {
        format!(r#"{{"workItemId":1,"id":{id},"version":1,"text":"{text}","createdDate":"{created}"}}"#)
    }

    #[test]
    fn a_page_shows_ours_or_the_end_or_others() {
        let page = |comments: &[String], next: &str| {
            let comments = comments.join(",");
            let body = format!(r#"{{"totalCount":9,"count":2,"comments":[{comments}],"continuationToken":{next}}}"#);
            shown(&body, false)
        };
        let (new, old) = ("2026-01-01T00:00:00.123Z", "2025-12-31T23:59:59Z");
        let two = [comment(8, "by hand", new), comment(7, "signalbox", new)];
        assert!(matches!(page(&two, r#""t""#), Ok(Shown::Others(next)) if next == "t"));
        assert!(matches!(page(&two, "null"), Ok(Shown::End)));
        assert!(matches!(page(&[], r#""t""#), Ok(Shown::End)));
        let ours = [
            comment(8, "by hand", new),
            comment(7, &format!("<code>{MARKER}</code>"), old),
        ];
        assert!(matches!(page(&ours, r#""t""#), Ok(Shown::Ours(Made { id, .. })) if id == "7"));
        let older = [comment(8, "by hand", new), comment(7, "by hand", old)];
        assert!(matches!(page(&older, r#""t""#), Ok(Shown::End)));
        for other in ["{}", "[]", "<html>"] {
            assert!(matches!(shown(other, false), Err(Outcome::Retry { .. })), "{other}");
        }
    }

    #[test]
    fn of_a_page_that_was_cut_what_was_read_counts() {
        let old = comment(8, "by hand", "2025-12-31T00:00:00Z");
        let whole = format!(r#"{{"totalCount":2,"comments":[{old},{}]}}"#, comment(7, MARKER, ""));
        let cut = |behind: &str| {
            let at = whole.find(behind).expect("a place") + behind.len();
            shown(whole.split_at(at).0, true)
        };
        assert!(matches!(cut("by h"), Ok(Shown::Cut)));
        assert!(matches!(cut("2025-12-31T00:00:00Z\""), Ok(Shown::End)));
        assert!(matches!(cut(MARKER), Ok(Shown::Ours(_))));
    }
}
