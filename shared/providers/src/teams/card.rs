//! The message around an Adaptive Card, written element by element as far as Teams takes it.
//!
//! Nothing is built that is not sent: an element that would go beyond the size is taken back, and the caller counts it.

use std::borrow::Cow;

use serde::Serialize;

/// The whole message, in bytes of UTF-8: Teams takes about 28 KB and drops a larger one without a word.
pub(super) const MESSAGE_BYTES_MAX: usize = 27_000;
/// Room for the body of most messages.
const MESSAGE_BYTES: usize = 3 * 1024;

const BEGINNING: &str = r#"{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null,"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","type":"AdaptiveCard","version":""#;
const FACTS: &str = r#"{"type":"FactSet","facts":["#;
const FACTS_END: &str = "]}";
const END: &str = "}}]}";

/// A part of a card.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(super) enum Element<'a> {
    /// Reads Markdown.
    TextBlock {
        text: Cow<'a, str>,
        wrap: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        weight: Option<&'static str>,
        /// `heading` tells it to who cannot see it.
        #[serde(skip_serializing_if = "Option::is_none")]
        style: Option<&'static str>,
        #[serde(rename = "isSubtle", skip_serializing_if = "std::ops::Not::not")]
        subtle: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        separator: bool,
    },
    /// Shows what is written.
    RichTextBlock {
        inlines: Vec<Run<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        spacing: Option<&'static str>,
    },
    Container {
        style: &'static str,
        /// Up to the edges of the card.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        bleed: bool,
        items: Vec<Element<'a>>,
    },
}

/// Text without Markdown.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "TextRun")]
pub(super) struct Run<'a> {
    pub(super) text: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weight: Option<&'static str>,
    #[serde(rename = "fontType", skip_serializing_if = "Option::is_none")]
    pub(super) font: Option<&'static str>,
    #[serde(rename = "isSubtle", skip_serializing_if = "std::ops::Not::not")]
    pub(super) subtle: bool,
}

/// A button that opens an address.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "Action.OpenUrl")]
pub(super) struct OpenUrl<'a> {
    pub(super) title: &'static str,
    pub(super) url: &'a str,
}

#[derive(Serialize)]
struct Fact<'a> {
    title: &'a str,
    value: &'a str,
}

impl<'a> Run<'a> {
    pub(super) fn of(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: text.into(),
            size: None,
            weight: None,
            font: None,
            subtle: false,
        }
    }

    pub(super) fn bold(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            weight: Some("Bolder"),
            ..Self::of(text)
        }
    }
}

impl<'a> Element<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::TextBlock {
            text: text.into(),
            wrap: true,
            size: None,
            weight: None,
            style: None,
            subtle: false,
            separator: false,
        }
    }

    pub(super) fn runs(inlines: Vec<Run<'a>>) -> Self {
        Self::RichTextBlock { inlines, spacing: None }
    }

    /// Close below what stands before it.
    pub(super) fn runs_below(inlines: Vec<Run<'a>>) -> Self {
        Self::RichTextBlock {
            inlines,
            spacing: Some("None"),
        }
    }

    /// Small and pale.
    pub(super) fn note(text: String, separator: bool) -> Self {
        Self::TextBlock {
            text: text.into(),
            wrap: true,
            size: Some("Small"),
            weight: None,
            style: None,
            subtle: true,
            separator,
        }
    }
}

/// A message as it is written.
pub(super) struct Card {
    json: Vec<u8>,
    /// How long `json` may become before the end is written.
    bytes_max: usize,
    /// Whether an element stands in the body.
    begun: bool,
    /// Whether the last element is a set of facts that takes more of them.
    facts: bool,
}

impl Card {
    /// A card of this version that shows `fallback` where it is not known. `end_bytes` are kept for what [`Card::end`]
    /// is given.
    pub(super) fn begin(version: &str, fallback: &str, end_bytes: usize) -> Self {
        let mut json = Vec::with_capacity(MESSAGE_BYTES);
        json.extend_from_slice(BEGINNING.as_bytes());
        json.extend_from_slice(version.as_bytes());
        json.extend_from_slice(br#"","fallbackText":"#);
        write(&mut json, fallback);
        json.extend_from_slice(br#","body":["#);
        Self {
            json,
            bytes_max: MESSAGE_BYTES_MAX.saturating_sub(end_bytes + FACTS_END.len() + ",]".len() + END.len()),
            begun: false,
            facts: false,
        }
    }

    /// How many bytes are left.
    pub(super) const fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.json.len())
    }

    /// Adds elements that belong together: all of them, or none where they do not fit.
    pub(super) fn add(&mut self, elements: &[Element<'_>]) -> bool {
        let (kept, begun, facts) = (self.json.len(), self.begun, self.facts);
        self.close_facts();
        for element in elements {
            self.comma();
            write(&mut self.json, element);
        }
        self.fits_or_back_to(kept, begun, facts)
    }

    /// Adds a fact to the set that stands last, or to a new one; nothing where it does not fit.
    pub(super) fn fact(&mut self, title: &str, value: &str) -> bool {
        let (kept, begun, facts) = (self.json.len(), self.begun, self.facts);
        if self.facts {
            self.json.push(b',');
        } else {
            self.comma();
            self.json.extend_from_slice(FACTS.as_bytes());
            self.facts = true;
        }
        write(&mut self.json, &Fact { title, value });
        self.fits_or_back_to(kept, begun, facts)
    }

    /// The whole message, `last` and `actions` at its end.
    pub(super) fn end(mut self, last: &[u8], actions: &[u8]) -> Vec<u8> {
        self.close_facts();
        if !last.is_empty() {
            self.comma();
            self.json.extend_from_slice(last);
        }
        self.json.push(b']');
        self.json.extend_from_slice(actions);
        self.json.extend_from_slice(END.as_bytes());
        self.json
    }

    fn fits_or_back_to(&mut self, kept: usize, begun: bool, facts: bool) -> bool {
        let fits = self.json.len() <= self.bytes_max;
        if !fits {
            self.json.truncate(kept);
            (self.begun, self.facts) = (begun, facts);
        }
        fits
    }

    fn comma(&mut self) {
        if self.begun {
            self.json.push(b',');
        }
        self.begun = true;
    }

    fn close_facts(&mut self) {
        if std::mem::take(&mut self.facts) {
            self.json.extend_from_slice(FACTS_END.as_bytes());
        }
    }
}

/// Adds JSON to what is written.
pub(super) fn write(json: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(json, value).expect("texts are written to memory");
}
