//! What the storage holds and how long it lasts, and what is refused because too much waits.

use std::time::Duration;

use signalbox_broker::Error;
use signalbox_proto::{
    Timestamp,
    bounds::{Budget, Marks, Share, WAITING},
    subjects,
};
use signalbox_runtime::duration;

use super::{Finding, LIST_MAX, STORAGE_ERROR, STORAGE_WARN, error, ok, warn};
use crate::Shared;

/// A stream that is full sooner than this is worth a word, and sooner than that needs someone.
const FULL_SOON: Duration = Duration::from_secs(24 * 3_600);
const FULL_NOW: Duration = Duration::from_secs(3_600);
/// Below this part of its share the growth of a stream says nothing yet, in percent.
const EMPTY_PERCENT: u64 = 5;
/// Without a look of the keeper for this long nobody looks, where the last one does not say how often it did.
const STALE: Duration = Duration::from_secs(90);

impl Shared {
    pub(super) async fn check_room(&self, now: Timestamp, findings: &mut Vec<Finding>) -> Result<(), Error> {
        let marks = self.broker.get::<Marks>(subjects::STATE, subjects::marks_key()).await?;
        let marks = marks.map(|entry| entry.value).unwrap_or_default();
        let budget = self
            .broker
            .get::<Budget>(subjects::STATE, subjects::budget_key())
            .await?;
        let budget = budget.map(|entry| entry.value);
        let name = |integration: &str| self.directory.by_id(integration).map(|known| known.name.to_string());
        findings.extend(judge_room(&marks, budget.as_ref(), &name, now));
        Ok(())
    }
}

/// What is above its mark, and how long the storage lasts, as far as somebody has looked of late.
fn judge_room(
    marks: &Marks,
    budget: Option<&Budget>,
    name: &dyn Fn(&str) -> Option<String>,
    now: Timestamp,
) -> Vec<Finding> {
    let holds = match marks.holds_secs {
        0 => STALE,
        secs => Duration::from_secs(secs),
    };
    match budget {
        // Marks hold for as long: what they shut is open again.
        Some(budget) if now.since(budget.at) >= holds => vec![warn(
            format!(
                "no keeper has looked at the storage since {}: nothing is refused because of what waits, and quotas over \
                 NATS are not kept",
                budget.at
            ),
            "see that one runs: `signalbox run keeper`",
        )],
        // Before the first look there is none.
        None => judge_marks(marks, name),
        Some(budget) => {
            let mut findings = judge_marks(marks, name);
            findings.extend(judge_budget(budget));
            findings
        }
    }
}

/// What is above its mark.
fn judge_marks(marks: &Marks, name: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(over) = marks.storage {
        findings.push(error(
            format!(
                "all publishing is refused: what waits takes {} of storage, more than {}",
                bytes(over.is),
                bytes(over.mark)
            ),
            "resume or mend the integrations with most waiting, discard what is old (`signalbox deliveries discard \
             --older-than`), or raise nats.storage_bytes",
        ));
    }
    for (org, over) in marks.orgs.iter().take(LIST_MAX) {
        findings.push(error(
            format!(
                "publishing of org {org} is refused: {} of its deliveries wait, more than {}",
                over.is, over.mark
            ),
            format!(
                "resume or mend its integrations, discard what is old (`signalbox deliveries discard --org {org} \
                 --older-than 1h`), or raise keeper.waiting_org_max"
            ),
        ));
    }
    for crowded in marks.integrations.iter().take(LIST_MAX) {
        let integration = name(&crowded.integration).unwrap_or_else(|| crowded.integration.clone());
        findings.push(warn(
            format!(
                "{} deliveries of integration {}/{integration} wait, more than {}",
                crowded.over.is, crowded.org, crowded.over.mark
            ),
            format!(
                "see why they do not go: `signalbox integrations show {integration} --org {}`; discard what is old with \
                 `signalbox deliveries discard --integration {integration} --older-than 1h`",
                crowded.org
            ),
        ));
    }
    if marks.refusals_full {
        findings.push(error(
            "quotas over NATS are not kept: DEAD has no room for refused inputs any more",
            "discard them: `signalbox dead discard --reason rejected`, or raise nats.storage_bytes",
        ));
    }
    findings
}

/// How long the storage lasts.
fn judge_budget(budget: &Budget) -> Vec<Finding> {
    let mut findings = Vec::new();
    let has_share = |share: &&Share| share.share_bytes > 0 || share.name == WAITING;
    for share in budget.shares.iter().filter(has_share) {
        // The others may leave nothing to what waits.
        let percent = match share.bytes.saturating_mul(100).checked_div(share.share_bytes) {
            Some(percent) => percent,
            None if share.bytes > 0 => STORAGE_ERROR,
            None => 0,
        };
        if share.name == WAITING {
            let part = match share.share_bytes {
                0 => "and the other streams leave nothing".to_owned(),
                _ => format!("{percent} % of what the other streams leave"),
            };
            let what = format!("what waits takes {} of storage, {part}", bytes(share.bytes));
            findings.push(match percent {
                STORAGE_ERROR.. => error(what, remedy(share)),
                STORAGE_WARN.. => warn(what, remedy(share)),
                _ => ok(what),
            });
        }
        // These two are relieved of their oldest messages before they are full.
        let is_relieved = [subjects::EVENTS, subjects::OUTCOMES].contains(&share.name.as_str());
        let Some(full_in) = share.full_in_secs.map(Duration::from_secs) else {
            continue;
        };
        if is_relieved || percent < EMPTY_PERCENT || full_in >= FULL_SOON {
            continue;
        }
        let what = format!(
            "{} is full in about {} at this rate ({}/s)",
            if share.name == WAITING {
                "the storage for what waits"
            } else {
                &share.name
            },
            duration::format(coarse(full_in)),
            bytes(share.growth.unsigned_abs())
        );
        findings.push(if full_in < FULL_NOW {
            error(what, remedy(share))
        } else {
            warn(what, remedy(share))
        });
    }
    findings
}

fn remedy(share: &Share) -> &'static str {
    match share.name.as_str() {
        WAITING => {
            "mend the targets that hold it up, discard what is old (`signalbox deliveries discard --older-than`), or raise \
             nats.storage_bytes"
        }
        subjects::DEAD => "replay or discard dead letters, or raise nats.storage_bytes",
        subjects::INGEST => "see that ingest runs and keeps up, or raise nats.storage_bytes",
        _ => "raise nats.storage_bytes",
    }
}

/// Rounded, as it is a guess: to hours, else minutes, else seconds.
fn coarse(time: Duration) -> Duration {
    let secs = time.as_secs();
    Duration::from_secs(match secs {
        3_600.. => secs / 3_600 * 3_600,
        60.. => secs / 60 * 60,
        _ => secs,
    })
}

/// Bytes for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests;
