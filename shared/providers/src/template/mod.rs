#![doc = include_str!("README.md")]

mod checks;
mod eval;
mod filters;
mod operators;
mod tree;
mod value;

use std::{borrow::Cow, sync::Arc};

use signalbox_proto::{Accepted, Delivery, Event, Timestamp, digest, integration::Template, types};

use self::{
    eval::{Fault, Run},
    tree::Node,
    value::{Map, Value},
};
use crate::{About, FieldError, Text, display::Look};

/// Longest source of one text, in bytes.
pub const SOURCE_BYTES_MAX: usize = 16 * 1024;
/// Longest title that a template makes, in bytes.
pub const TITLE_BYTES_MAX: usize = 1_024;
/// Longest body that a template makes where its provider says nothing else, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Which parts of a template a provider takes, and in which markup.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    /// Whether it takes a title.
    pub title: bool,
    /// Longest body, in bytes; 0 where it takes none.
    pub body_bytes_max: usize,
    /// What its texts are written in.
    pub markup: Markup,
}

impl Takes {
    /// For providers whose requests hold no text.
    pub const NOTHING: Self = Self {
        title: false,
        body_bytes_max: 0,
        markup: Markup::Plain,
    };

    /// A title and a body of the usual length.
    pub const fn texts(markup: Markup) -> Self {
        Self {
            title: true,
            body_bytes_max: BODY_BYTES_MAX,
            markup,
        }
    }
}

/// How the values that an event brings are made harmless in a text.
#[derive(Clone, Copy, Debug)]
pub enum Markup {
    /// The text has no markup: nothing needs to be done.
    Plain,
    /// The body is JSON: a text is escaped to stand between quotes, a list or a group of fields is JSON as it is, and
    /// `|tojson` writes any value whole, with its quotes. The body must be JSON in the end.
    Json,
    /// By a function of the provider.
    Escaped(fn(&str) -> String),
}

impl Markup {
    fn escape(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Plain => Cow::Borrowed(text),
            Self::Json => {
                let quoted = serde_json::to_string(text).expect("a string is written to memory");
                let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                Cow::Owned(inside.expect("JSON strings are quoted").to_owned())
            }
            Self::Escaped(escape) => Cow::Owned(escape(text)),
        }
    }

    const fn is_json(self) -> bool {
        matches!(self, Self::Json)
    }
}

/// A template, read for a provider.
#[derive(Debug)]
pub(crate) struct Texts {
    title: Option<Vec<Node>>,
    body: Option<Vec<Node>>,
    takes: Takes,
}

impl Texts {
    /// Reads a template, or says all that is wrong with it.
    pub(crate) fn read(template: &Template, provider: &str, takes: Takes) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        if template.title.is_none() && template.body.is_none() {
            errors.push(FieldError::new(
                "template",
                "is empty: give title, body or both, or leave it out",
            ));
        }
        let mut part = |name: &str, source: Option<&str>, taken: bool| {
            let pointer = format!("template/{name}");
            let source = source?;
            let nodes = if !taken {
                Err(refused(name, provider, takes))
            } else if source.len() > SOURCE_BYTES_MAX {
                Err(format!("is longer than {SOURCE_BYTES_MAX} bytes"))
            } else {
                tree::read(source)
            };
            nodes
                .map_err(|message| errors.push(FieldError::new(pointer, message)))
                .ok()
        };
        let title = part("title", template.title.as_deref(), takes.title);
        let body = part("body", template.body.as_deref(), takes.body_bytes_max > 0);
        if errors.is_empty() {
            Ok(Self { title, body, takes })
        } else {
            Err(errors)
        }
    }

    /// The texts of a delivery, or why there are none, in words for the owner.
    pub(crate) fn render(&self, delivery: &Delivery, about: &About) -> Result<Text, String> {
        let context = context(delivery, about)?;
        let render = |name: &str, nodes: &Option<Vec<Node>>, bytes_max: usize| {
            let Some(nodes) = nodes else { return Ok(None) };
            let text = Run::new(&context, self.takes.markup, bytes_max).render(nodes);
            text.map(Some).map_err(|fault: Fault| format!("{name}: {fault}"))
        };
        let title = render("title", &self.title, TITLE_BYTES_MAX)?.map(|title| one_line(&title));
        let body = render("body", &self.body, self.takes.body_bytes_max)?;
        if let Some(body) = body.as_deref().filter(|_| self.takes.markup.is_json()) {
            serde_json::from_str::<serde::de::IgnoredAny>(body)
                .map_err(|error| format!("body: what it made is not JSON: {error}"))?;
        }
        Ok(Text { title, body })
    }
}

fn refused(part: &str, provider: &str, takes: Takes) -> String {
    match (takes.title, takes.body_bytes_max > 0) {
        (false, true) => format!("{provider} has no {part}: its body is the whole text, write it there"),
        (true, false) => format!("{provider} has no {part}: give a title"),
        _ => format!("{provider} sends no text of an owner: leave it out"),
    }
}

/// A title is one line.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What a template sees.
fn context(delivery: &Delivery, about: &About) -> Result<Map, String> {
    let events: Vec<Value> = delivery.events.iter().map(accepted).collect::<Result<_, _>>()?;
    let count = events.len();
    let subject = match events.as_slice() {
        [single] if !delivery.is_digest() => single.clone(),
        _ => digest(delivery)?,
    };
    let integration = map([
        ("name", Value::text(about.name.as_str())),
        ("org", Value::text(about.org.as_str())),
    ]);
    let names = [
        ("event", subject),
        ("events", Value::list_of(events)),
        ("count", Value::Int(i128::try_from(count).unwrap_or(i128::MAX))),
        ("integration", integration),
        ("brand", Value::text(&*about.brand)),
    ];
    Ok(names
        .into_iter()
        .map(|(name, value)| (Arc::from(name), value))
        .collect())
}

fn accepted(accepted: &Accepted) -> Result<Value, String> {
    let event = &accepted.event;
    let metadata = event.metadata.iter();
    let metadata = metadata.map(|(name, value)| (Arc::from(name.as_str()), Value::text(value.as_str())));
    let data = data(event.data.as_bytes())?;
    let Look { title, emoji, tone } = Look::of(accepted);
    Ok(map([
        ("id", Value::text(event.id.as_str())),
        ("org", Value::text(event.org.as_str())),
        ("type", Value::text(event.event_type.as_str())),
        ("source", Value::text(event.source.as_str())),
        ("subject", Value::optional(event.subject.as_deref())),
        ("time", time(accepted.time())),
        ("agent_id", Value::optional(event.agent_id.as_deref())),
        ("execution_id", Value::optional(event.execution_id.as_deref())),
        ("severity", Value::text(event.severity.as_str())),
        ("data", data),
        ("metadata", Value::Map(Arc::new(metadata.collect()))),
        ("title", Value::text(&*title)),
        ("emoji", Value::text(&*emoji)),
        ("tone", Value::text(tone.as_str())),
    ]))
}

/// A digest as an event of its own.
fn digest(delivery: &Delivery) -> Result<Value, String> {
    let members = delivery.events.iter().map(|accepted| {
        let event = &accepted.event;
        Ok(map([
            ("id", Value::text(event.id.as_str())),
            ("type", Value::text(event.event_type.as_str())),
            ("timestamp", time(accepted.time())),
            ("data", data(event.data.as_bytes())?),
        ]))
    });
    let members: Vec<Value> = members.collect::<Result<_, String>>()?;
    let newest = delivery
        .events
        .iter()
        .map(Accepted::time)
        .max()
        .unwrap_or(delivery.since);
    let severity = delivery.events.iter().map(|accepted| accepted.event.severity).max();
    let known = types::built_in(digest::EVENT_TYPE);
    Ok(map([
        ("id", Value::text(delivery.id.as_str())),
        ("org", Value::text(delivery.org.as_str())),
        ("type", Value::text(digest::EVENT_TYPE)),
        ("source", Value::text(Event::default_source(&delivery.org))),
        ("time", time(newest)),
        ("severity", Value::text(severity.unwrap_or_default().as_str())),
        (
            "data",
            map([
                ("batch", Value::Bool(true)),
                (
                    "event_count",
                    Value::Int(i128::try_from(members.len()).unwrap_or(i128::MAX)),
                ),
                ("events", Value::list_of(members)),
            ]),
        ),
        ("metadata", map([])),
        (
            "title",
            Value::text(known.map_or(digest::EVENT_TYPE, |known| known.title)),
        ),
        ("emoji", Value::text(known.map_or(types::EMOJI, |known| known.emoji))),
        ("tone", Value::text(types::Tone::Neutral.as_str())),
    ]))
}

fn data(json: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(json).map_err(|error| format!("the event's data cannot be read: {error}"))
}

fn time(at: Timestamp) -> Value {
    Value::text(at.to_string())
}

fn map<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Map(Arc::new(
        members
            .into_iter()
            .map(|(name, value)| (Arc::from(name), value))
            .collect(),
    ))
}

#[cfg(test)]
mod tests;
