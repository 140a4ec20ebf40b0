//! Looking for a draft whose answer was lost. GitHub has no search for the text of drafts, and its lists are too long to be
//! read with all texts: so of the project's last items those are read, one by one, that we have made at about that time.

use std::time::Duration;

use signalbox_proto::{Outcome, Timestamp};

use super::{GithubProjects, LAG, answers, item, names};
use crate::{
    Target,
    once::listed,
    things::{Known, Move},
    tracker::{Job, Looking, Made, Renewed},
};

/// Pages of 100 items that are looked through. A new item stands at the end, unless somebody has dragged it up.
const PAGES_MAX: usize = 10;
/// Drafts whose texts are read: more are not made in the time that is looked at, below the usual limit of requests.
const DRAFTS_MAX: usize = 120;
/// How far the clock of GitHub and ours may be apart.
const CLOCKS: Duration = Duration::from_secs(30);

/// What bears the marker; an error is what comes first.
pub(super) fn look(
    target: &Target<GithubProjects>,
    job: &Job<'_>,
    looking: &Looking<'_>,
    since: Timestamp,
    known: &Known<'_>,
    now: Timestamp,
) -> Result<Option<Made>, Box<Move>> {
    let done = |outcome| Box::new(Move::Done(outcome));
    let project = [names::Named::Project];
    if let Some(step) = names::learn(target, &project, known, now) {
        return Err(step.into());
    }
    let (first, last) = (since - CLOCKS, since + target.about.timeout + LAG + CLOCKS);
    let mut before: Option<String> = None;
    let mut count = 0;
    for number in 0..PAGES_MAX {
        let name = format!("{} page {number}", looking.name);
        let Some(answer) = known.answer(&name) else {
            return Err(Move::Ask(name.into(), item::items(target, known, before.as_deref())).into());
        };
        let page = match answers::page(answer, now) {
            Ok(page) => page,
            Err(outcome) => {
                // The project may be deleted, and its draft with it, and another one have its number.
                let renewed = match outcome {
                    Outcome::Suspend { .. } => names::renew(target, &name, &project, known, now),
                    _ => None,
                };
                return Err(Box::new(match renewed {
                    Some(Renewed::Step(step)) => step,
                    Some(Renewed::Again) => Move::Ask(name.into(), item::items(target, known, before.as_deref())),
                    None => Move::Done(outcome),
                }));
            }
        };
        for id in page.drafts(first, last) {
            count += 1;
            if count > DRAFTS_MAX {
                return unclear(job, since, "more drafts were made at that time than are read");
            }
            let name = format!("{} draft {id}", looking.name);
            let Some(answer) = known.answer(&name) else {
                return Err(Move::Ask(name.into(), item::draft(target, id)).into());
            };
            if answers::bears(answer, &item::mark(&job.marker), now).map_err(done)? {
                let id = id.to_owned();
                return Ok(Some(Made { id, url: None }));
            }
        }
        before = page.before();
        if before.is_none() {
            return Ok(None);
        }
    }
    unclear(job, since, "the project has more items than are looked through")
}

/// Nobody can tell. Who replays it wants it made.
fn unclear(job: &Job<'_>, since: Timestamp, why: &str) -> Result<Option<Made>, Box<Move>> {
    match listed::undecided(job.delivery, since, why) {
        Some(outcome) => Err(Box::new(Move::Done(outcome))),
        None => Ok(None),
    }
}
