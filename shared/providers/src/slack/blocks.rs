//! Block Kit as far as it is used here, and every limit of it.
//!
//! Slack counts characters without saying of which kind. Units of UTF-16 are never fewer than code points, and an
//! escape is counted as it is written, so that what fits here fits by any count.

use std::borrow::Cow;

use serde::Serialize;

/// Blocks of a message.
pub(super) const BLOCKS_MAX: usize = 50;
/// The text of a header.
pub(super) const HEADER_UNITS_MAX: usize = 150;
/// The text of a section.
pub(super) const SECTION_UNITS_MAX: usize = 3_000;
/// Fields of a section.
pub(super) const FIELDS_MAX: usize = 10;
/// The text of a section's field.
pub(super) const FIELD_UNITS_MAX: usize = 2_000;
/// Buttons of a block of actions.
pub(super) const ACTIONS_MAX: usize = 25;
/// The address that a button opens.
pub(super) const BUTTON_URL_UNITS_MAX: usize = 3_000;
/// The text that notifications show. Slack cuts at 40,000 and advises at most 4,000; a notification shows less.
pub(super) const FALLBACK_UNITS_MAX: usize = 500;
/// All texts of the blocks of a message: Slack refuses messages whose blocks are too long together and names no
/// number but that of its block for Markdown, which is this.
pub(super) const MESSAGE_UNITS_MAX: usize = 12_000;

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    /// Only the web API honours it, and webhooks of the old kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<&'a str>,
    /// What notifications show; never empty.
    pub(super) text: String,
    pub(super) blocks: Vec<Block<'a>>,
    /// No previews of addresses that data holds.
    pub(super) unfurl_links: bool,
    pub(super) unfurl_media: bool,
    /// `false`: words that look like names are no mentions. A webhook does not know the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link_names: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Header {
        text: Plain<'a>,
    },
    Section {
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<Mrkdwn>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        fields: Vec<Mrkdwn>,
    },
    Actions {
        elements: Vec<Button<'a>>,
    },
    Context {
        elements: [Mrkdwn; 1],
    },
}

/// Text without markup.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "plain_text")]
pub(super) struct Plain<'a> {
    pub(super) text: Cow<'a, str>,
    /// Emoji as Slack draws them.
    pub(super) emoji: bool,
}

/// Text in Slack's markup, escaped.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "mrkdwn")]
pub(super) struct Mrkdwn {
    pub(super) text: String,
    /// `true`: what is written plainly stays plain. Addresses, `#names` and `@names` become no links.
    pub(super) verbatim: bool,
}

/// A button that opens an address.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "button")]
pub(super) struct Button<'a> {
    pub(super) text: Plain<'a>,
    pub(super) url: String,
    /// Unique in the message.
    pub(super) action_id: String,
}

impl<'a> Block<'a> {
    pub(super) fn header(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Header { text: Plain::of(text) }
    }

    pub(super) fn section(text: String) -> Self {
        Self::Section {
            text: Some(Mrkdwn::of(text)),
            fields: Vec::new(),
        }
    }

    pub(super) fn fields(fields: Vec<Mrkdwn>) -> Self {
        Self::Section { text: None, fields }
    }

    pub(super) fn context(text: String) -> Self {
        Self::Context {
            elements: [Mrkdwn::of(text)],
        }
    }
}

impl<'a> Plain<'a> {
    pub(super) fn of(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: text.into(),
            emoji: true,
        }
    }
}

impl Mrkdwn {
    pub(super) fn of(text: String) -> Self {
        Self { text, verbatim: true }
    }
}
