//! Discord's embeds as far as they are used here, and every limit of them.
//!
//! Discord counts code points, backslashes of escapes among them.

use std::borrow::Cow;

use serde::Serialize;

/// The title of an embed.
pub(super) const TITLE_CHARS_MAX: usize = 256;
/// The text below the title.
pub(super) const DESCRIPTION_CHARS_MAX: usize = 4_096;
/// Fields of an embed.
pub(super) const FIELDS_MAX: usize = 25;
/// The name of a field.
pub(super) const NAME_CHARS_MAX: usize = 256;
/// The value of a field.
pub(super) const VALUE_CHARS_MAX: usize = 1_024;
/// Title, description, footer, names and values of all embeds of a message together.
pub(super) const MESSAGE_CHARS_MAX: usize = 6_000;
/// An address that an embed leads to.
pub(super) const URL_CHARS_MAX: usize = 2_048;

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) avatar_url: Option<&'a str>,
    pub(super) embeds: [Embed<'a>; 1],
    pub(super) allowed_mentions: Mentions,
}

/// Who may be mentioned: nobody.
#[derive(Debug, Serialize)]
pub(super) struct Mentions {
    pub(super) parse: [&'static str; 0],
}

#[derive(Debug, Serialize)]
pub(super) struct Embed<'a> {
    pub(super) title: String,
    /// Where the title leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    /// The bar at its side, as 0xRRGGBB.
    pub(super) color: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fields: Vec<Field<'a>>,
    pub(super) footer: Footer,
    /// Each reader sees it in their own zone, behind the footer.
    pub(super) timestamp: signalbox_proto::Timestamp,
}

#[derive(Debug, Serialize)]
pub(super) struct Field<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
    /// Whether it shares its row with others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) inline: bool,
}

/// Without markup.
#[derive(Debug, Serialize)]
pub(super) struct Footer {
    pub(super) text: String,
}
