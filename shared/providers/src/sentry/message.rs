//! A delivery as events of Sentry: one event each, a digest as one for each thing that its events are about.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeMap, fmt::Write as _, num::NonZeroUsize};

use signalbox_proto::{Accepted, Delivery, Timestamp, digest};

use super::{
    data::Data,
    envelope,
    event::{
        BREADCRUMB_CHARS_MAX, BREADCRUMBS_MAX, Breadcrumb, Breadcrumbs, CONTEXT_CHARS_MAX, Contexts, Event,
        FINGERPRINT_BYTES_MAX, Level, LogEntry, MESSAGE_CHARS_MAX, METADATA_BYTES_MAX, Origin, RELEASE_CHARS_MAX,
        SERVER_CHARS_MAX, Sdk, TAG_CHARS_MAX, Tags,
    },
};
use crate::{
    About, Text,
    display::{
        Gist,
        text::{self, Measure},
    },
    entity::{self, Entity, SYSTEM, Turn},
};

/// Who sends.
const SDK: Sdk = Sdk {
    name: "signalbox",
    version: env!("CARGO_PKG_VERSION"),
};
const LOGGER: &str = "signalbox";
const PLATFORM: &str = "other";
/// What no release may be called, in any case; nor may it hold a slash or a backslash.
const NO_RELEASE: [&str; 3] = [".", "..", "latest"];
/// Events that are listed where several are one; what is beyond is counted.
const LISTED_MAX: usize = 40;

/// What a request is made of besides the events that it brings.
pub(super) struct Sending<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) about: &'a About,
    pub(super) environment: Option<&'a str>,
    /// The owner's texts.
    pub(super) text: &'a Text,
    pub(super) now: Timestamp,
}

impl<'a> Sending<'a> {
    /// The envelope of the `index`-th request; `None` where all was said before.
    ///
    /// Issues are told apart by what they are about, so each entity of a digest gets an event of its own. The text of an
    /// owner speaks of a digest as a whole: with one it is a single event.
    pub(super) fn envelope(&self, index: usize) -> Option<Vec<u8>> {
        let delivery = self.delivery;
        if delivery.is_digest() && (self.text.title.is_some() || self.text.body.is_some()) {
            let all: Vec<&Accepted> = delivery.events.iter().collect();
            return (index == 0).then(|| self.several(&all, "events"));
        }
        Some(match entity::in_turn(delivery, index)? {
            Turn::One(entity, last) => self.one(&entity, last),
            Turn::Rest(events) => self.several(&events, "more events"),
        })
    }

    fn one(&self, entity: &Entity<'a>, last: &'a Accepted) -> Vec<u8> {
        let Self { delivery, about, .. } = *self;
        let event = &last.event;
        let key = entity.key(&about.integration, FINGERPRINT_BYTES_MAX);
        let (id, before) = if delivery.is_digest() {
            (envelope::event_id(&delivery.id, &key), before(delivery, entity, last))
        } else {
            (envelope::event_id(&delivery.id, ""), Vec::new())
        };
        let gist = Gist::of(last, about);
        let data = Data::of(event);
        let optional = |text: &'a Option<String>| line(Cow::Borrowed(text.as_deref()?), TAG_CHARS_MAX);
        let agent = optional(&event.agent_id);
        let host = data.host().and_then(|host| line(host, SERVER_CHARS_MAX));
        let sent = Event {
            event_id: &id,
            timestamp: last.time(),
            platform: PLATFORM,
            level: Level::of(event.severity, gist.tone),
            logger: LOGGER,
            transaction: event.event_type.as_str(),
            server_name: host.or_else(|| agent.clone()),
            release: data.version().filter(|version| is_release(version)),
            environment: self.environment,
            fingerprint: [key],
            logentry: self.message(&gist),
            tags: Tags {
                agent_id: agent.unwrap_or(Cow::Borrowed(SYSTEM)),
                event_type: event.event_type.as_str(),
                execution_id: optional(&event.execution_id),
                integration: about.name.as_str(),
                org: about.org.as_str(),
                severity: event.severity,
                subject: optional(&event.subject),
            },
            contexts: Contexts {
                signalbox: Origin {
                    brand: brand(about),
                    events: None,
                    event_id: Some(&event.id),
                    source: line(Cow::Borrowed(&event.source), CONTEXT_CHARS_MAX),
                    time: last.time(),
                    delivery_id: &delivery.id,
                    fields_left_out: NonZeroUsize::new(data.left_out),
                },
                metadata: metadata(&event.metadata),
            },
            extra: data,
            breadcrumbs: breadcrumbs(&before, about),
            sdk: SDK,
        };
        envelope::of_event(&sent, self.now)
    }

    /// Several events as one that lists them. `what` they are called.
    fn several(&self, events: &[&'a Accepted], what: &'static str) -> Vec<u8> {
        let Self { delivery, about, .. } = *self;
        let id = envelope::event_id(&delivery.id, digest::EVENT_TYPE);
        let time = events.iter().map(|one| one.time()).max().unwrap_or(delivery.since);
        let levels = events.iter().map(|one| level(one, about));
        let severities = events.iter().map(|one| one.event.severity);
        let sent = Event {
            event_id: &id,
            timestamp: time,
            platform: PLATFORM,
            level: levels.max().unwrap_or(Level::Info),
            logger: LOGGER,
            transaction: digest::EVENT_TYPE,
            server_name: None,
            release: None,
            environment: self.environment,
            fingerprint: [format!("{}/{}", about.integration, digest::EVENT_TYPE)],
            logentry: self.message(&List { events, what, about }),
            tags: Tags {
                agent_id: Cow::Borrowed(SYSTEM),
                event_type: digest::EVENT_TYPE,
                execution_id: None,
                integration: about.name.as_str(),
                org: about.org.as_str(),
                severity: severities.max().unwrap_or_default(),
                subject: None,
            },
            contexts: Contexts {
                signalbox: Origin {
                    brand: brand(about),
                    events: Some(events.len()),
                    event_id: None,
                    source: None,
                    time,
                    delivery_id: &delivery.id,
                    fields_left_out: None,
                },
                metadata: BTreeMap::new(),
            },
            extra: Data::default(),
            breadcrumbs: breadcrumbs(events, about),
            sdk: SDK,
        };
        envelope::of_event(&sent, self.now)
    }

    /// What is said, the owner's text as far as there is one. The first line is the title of the issue.
    fn message(&self, own: &impl Words) -> LogEntry {
        let Text { title, body } = self.text;
        let title = title.as_deref().map(|title| text::line(title, MESSAGE_CHARS_MAX));
        let title = title.filter(|title| !title.is_empty());
        let formatted = match (title, body) {
            (None, None) => own.whole(),
            (Some(title), None) => format!("{title}\n{}", own.below()),
            (title, Some(body)) => {
                let body = text::block(body, MESSAGE_CHARS_MAX);
                format!("{}\n{body}", title.unwrap_or_else(|| own.title()))
            }
        };
        let formatted = text::cut(formatted.trim_end(), MESSAGE_CHARS_MAX, Measure::Chars).into_owned();
        LogEntry { formatted }
    }
}

/// What is said of an event, and the parts of it for which an owner may have other words.
trait Words {
    fn whole(&self) -> String;
    fn title(&self) -> Cow<'_, str>;
    fn below(&self) -> String;
}

impl Words for Gist<'_> {
    fn whole(&self) -> String {
        self.text()
    }

    fn title(&self) -> Cow<'_, str> {
        text::isolated(&self.title)
    }

    fn below(&self) -> String {
        let parts = [self.headline.as_deref(), self.message.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

/// Several events: how many there are, and the most serious of them in their order, one a line.
struct List<'l, 'a> {
    events: &'l [&'a Accepted],
    what: &'static str,
    about: &'l About,
}

impl Words for List<'_, '_> {
    fn whole(&self) -> String {
        format!("{}\n{}", self.title(), self.below())
    }

    fn title(&self) -> Cow<'_, str> {
        format!("{} {}", self.events.len(), self.what).into()
    }

    fn below(&self) -> String {
        let mut shown: Vec<&Accepted> = self.events.to_vec();
        if shown.len() > LISTED_MAX {
            shown.sort_by_key(|one| Reverse(one.event.severity));
            shown.truncate(LISTED_MAX);
            shown.sort_by_key(|one| one.seq);
        }
        let mut list = String::new();
        for one in &shown {
            list.push_str(&text::line(&Gist::of(one, self.about).text(), BREADCRUMB_CHARS_MAX));
            list.push('\n');
        }
        let more = self.events.len() - shown.len();
        if more > 0 {
            write!(list, "and {more} more").expect("a string takes all");
        }
        list
    }
}

/// The events of a digest about the same that came before the last of them.
fn before<'a>(delivery: &'a Delivery, entity: &Entity<'_>, last: &Accepted) -> Vec<&'a Accepted> {
    let others = delivery.events.iter().filter(|one| !std::ptr::eq(*one, last));
    others.filter(|one| Entity::of(&one.event).is_same(entity)).collect()
}

/// The newest of these, oldest first.
fn breadcrumbs<'a>(events: &[&'a Accepted], about: &About) -> Breadcrumbs<'a> {
    let newest = events.len().saturating_sub(BREADCRUMBS_MAX);
    let values = events.iter().skip(newest).map(|accepted| Breadcrumb {
        timestamp: accepted.time(),
        level: level(accepted, about),
        category: accepted.event.event_type.as_str(),
        message: text::line(&Gist::of(accepted, about).text(), BREADCRUMB_CHARS_MAX).into_owned(),
    });
    Breadcrumbs {
        values: values.collect(),
    }
}

fn level(accepted: &Accepted, about: &About) -> Level {
    Level::of(accepted.event.severity, Gist::of(accepted, about).tone)
}

fn brand(about: &About) -> Cow<'_, str> {
    text::line(&about.brand, CONTEXT_CHARS_MAX)
}

/// One line without what nobody sees; `None` where nothing is left.
fn line(text: Cow<'_, str>, chars_max: usize) -> Option<Cow<'_, str>> {
    let line = match text {
        Cow::Borrowed(text) => text::line(text, chars_max),
        Cow::Owned(text) => Cow::Owned(text::line(&text, chars_max).into_owned()),
    };
    (!line.is_empty()).then_some(line)
}

/// Whether the vendor takes this for a release. A longer one is left out: cut it would be another one.
fn is_release(version: &str) -> bool {
    let forbidden = NO_RELEASE.iter().any(|word| word.eq_ignore_ascii_case(version));
    !forbidden && !version.contains(['/', '\\']) && version.chars().count() <= RELEASE_CHARS_MAX
}

/// Metadata as far as there is room for it.
fn metadata(metadata: &BTreeMap<String, String>) -> BTreeMap<Cow<'_, str>, Cow<'_, str>> {
    let mut room = METADATA_BYTES_MAX;
    let mut kept = BTreeMap::new();
    for (name, value) in metadata {
        let (Some(name), Some(value)) = (
            line(Cow::Borrowed(name), CONTEXT_CHARS_MAX),
            line(Cow::Borrowed(value), CONTEXT_CHARS_MAX),
        ) else {
            continue;
        };
        let Some(left) = room.checked_sub(name.len() + value.len()) else {
            break;
        };
        room = left;
        kept.insert(name, value);
    }
    kept
}
