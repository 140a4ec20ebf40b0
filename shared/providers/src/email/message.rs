//! An event, or a digest of several, as it is read in a mail: a subject, a text, and the same as HTML.

use std::fmt::Write as _;

use signalbox_proto::types::Tone;

use super::html;
use crate::{
    Text,
    display::{
        self, Display, Field, FieldKind,
        text::{self, isolated},
    },
};

/// Characters of a subject, the brand in it: more is cut by most readers.
pub const SUBJECT_CHARS_MAX: usize = 200;
/// Characters of the brand in a subject and in the last line.
const BRAND_CHARS_MAX: usize = 60;
/// Characters of an owner's text.
const BODY_CHARS_MAX: usize = 20_000;
/// Characters of a text: an owner's, or all that an event can show, with the lines around it.
pub const TEXT_CHARS_MAX: usize = 48_000;

// The title, a few links and the last line; the message, each field with its label, each line of a digest.
const _: () = assert!(
    10_000
        + display::MESSAGE_CHARS_MAX
        + display::FIELDS_MAX * (display::VALUE_CHARS_MAX + display::LABEL_CHARS_MAX + 8)
        + display::ENTRIES_MAX * (display::ENTRY_CHARS_MAX + display::TITLE_CHARS_MAX + 64)
        < TEXT_CHARS_MAX
        && BODY_CHARS_MAX + 10_000 < TEXT_CHARS_MAX
);

/// What a mail says.
pub(super) struct Page {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// Writes what is shown; a template's title and body stand instead of ours.
pub(super) fn write(shown: &Display<'_>, given: &Text) -> Page {
    let title = given
        .title
        .as_deref()
        .map(|title| text::line(title, SUBJECT_CHARS_MAX).into_owned());
    let title = title.filter(|title| !title.is_empty());
    let body = given
        .body
        .as_deref()
        .map(|body| text::block(body, BODY_CHARS_MAX).into_owned());
    Page {
        subject: subject(shown, title.as_deref()),
        text: plain(shown, title.as_deref(), body.as_deref()),
        html: markup(shown, title.as_deref(), body.as_deref()),
    }
}

/// `[Signalbox] Execution Failed: Nightly build`.
fn subject(shown: &Display<'_>, title: Option<&str>) -> String {
    let mut subject = String::new();
    let brand = text::line(shown.brand, BRAND_CHARS_MAX);
    if !brand.is_empty() {
        write!(subject, "[{}] ", isolated(&brand)).expect("a string takes all");
    }
    match (title, &shown.headline) {
        (Some(title), _) => subject.push_str(&isolated(title)),
        (None, headline) => {
            subject.push_str(&isolated(&shown.title));
            if let Some(headline) = headline {
                write!(subject, ": {}", isolated(headline)).expect("a string takes all");
            }
        }
    }
    text::cut(
        &subject.replace(['\n', '\t'], " "),
        SUBJECT_CHARS_MAX,
        text::Measure::Chars,
    )
    .into_owned()
}

/// The heading of the mail.
fn heading(shown: &Display<'_>, title: Option<&str>) -> String {
    match title {
        Some(title) => title.to_owned(),
        None => format!("{} {}", shown.emoji, isolated(&shown.title)),
    }
}

fn left(count: usize, what: &str) -> Option<String> {
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| format!("and {count} more {what}{plural}"))
}

/// `Signalbox · execution.failed · high · 2026-01-01T00:00:00Z`.
fn last_line(shown: &Display<'_>) -> String {
    let brand = text::line(shown.brand, BRAND_CHARS_MAX);
    let brand = if brand.is_empty() {
        String::new()
    } else {
        format!("{} · ", isolated(&brand))
    };
    format!("{brand}{} · {} · {}", shown.event_type, shown.severity, shown.time)
}

fn plain(shown: &Display<'_>, title: Option<&str>, body: Option<&str>) -> String {
    let mut out = heading(shown, title);
    out.push('\n');
    if let Some(body) = body {
        paragraph(&mut out, body);
    } else {
        if let Some(headline) = &shown.headline {
            paragraph(&mut out, headline);
        }
        if shown.says_more() {
            paragraph(&mut out, &shown.message);
        }
        if !shown.fields.is_empty() {
            out.push('\n');
        }
        for field in &shown.fields {
            plain_field(&mut out, field);
        }
        if !shown.entries.is_empty() {
            out.push('\n');
        }
        for entry in &shown.entries {
            writeln!(out, "{} {}", entry.emoji, entry.line()).expect("a string takes all");
        }
        let more = [left(shown.fields_more, "field"), left(shown.entries_more, "event")];
        for more in more.iter().flatten() {
            paragraph(&mut out, more);
        }
    }
    if !shown.links.is_empty() {
        out.push('\n');
    }
    for link in &shown.links {
        writeln!(out, "{}: {}", link.label, link.url).expect("a string takes all");
    }
    paragraph(&mut out, &last_line(shown));
    out
}

fn paragraph(out: &mut String, text: &str) {
    if !text.is_empty() {
        writeln!(out, "\n{text}").expect("a string takes all");
    }
}

fn plain_field(out: &mut String, field: &Field<'_>) {
    let label = isolated(&field.label);
    match field.kind {
        FieldKind::Short => writeln!(out, "{label}: {}", isolated(&field.value)),
        FieldKind::List => {
            let items: String = field.value.lines().map(|item| format!("\n  • {item}")).collect();
            writeln!(out, "{label}:{items}")
        }
        FieldKind::Long | FieldKind::Code => {
            let lines: String = field.value.lines().map(|line| format!("\n  {line}")).collect();
            writeln!(out, "{label}:{lines}")
        }
    }
    .expect("a string takes all");
}

// Styles stand at their elements: mail readers drop the others.
const CELL: &str = "<td style=\"padding:2px 12px 2px 0;vertical-align:top\" dir=\"auto\">";
const SMALL: &str = "<p style=\"font-size:12px;color:#667\" dir=\"auto\">";

const fn colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "#c62828",
        Tone::Good => "#2e7d32",
        Tone::Neutral => "#1565c0",
    }
}

fn markup(shown: &Display<'_>, title: Option<&str>, body: Option<&str>) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html>\n<body style=\"font-family:sans-serif;font-size:14px;color:#222\">\n<div \
         style=\"border-left:4px solid {};padding-left:12px\">\n",
        colour(shown.tone)
    );
    html::wrap(
        &mut out,
        "<h2 style=\"font-size:18px\" dir=\"auto\">",
        &heading(shown, title),
        "</h2>",
    );
    if let Some(body) = body {
        html::wrap(&mut out, "<p dir=\"auto\">", body, "</p>");
    } else {
        if let Some(headline) = &shown.headline {
            html::wrap(&mut out, "<p dir=\"auto\"><b>", headline, "</b></p>");
        }
        if shown.says_more() {
            html::wrap(&mut out, "<p dir=\"auto\">", &shown.message, "</p>");
        }
        if !shown.fields.is_empty() {
            out.push_str("<table>\n");
            for field in &shown.fields {
                row(&mut out, field);
            }
            out.push_str("</table>\n");
        }
        if !shown.entries.is_empty() {
            out.push_str("<ul>\n");
            for entry in &shown.entries {
                let line = format!("{} {}", entry.emoji, entry.line());
                html::wrap(&mut out, "<li dir=\"auto\">", &line, "</li>");
            }
            out.push_str("</ul>\n");
        }
        let more = [left(shown.fields_more, "field"), left(shown.entries_more, "event")];
        for more in more.iter().flatten() {
            html::wrap(&mut out, SMALL, more, "</p>");
        }
    }
    for link in &shown.links {
        out.push_str("<p><a href=\"");
        html::push(&mut out, &link.url);
        html::wrap(&mut out, "\">", link.label, "</a></p>");
    }
    out.push_str("</div>\n");
    html::wrap(&mut out, SMALL, &last_line(shown), "</p>");
    out.push_str("</body>\n</html>\n");
    out
}

fn row(out: &mut String, field: &Field<'_>) {
    out.push_str("<tr>\n");
    html::wrap(out, CELL, &field.label, "</td>");
    match field.kind {
        FieldKind::Short | FieldKind::Long => html::wrap(out, CELL, &field.value, "</td>"),
        FieldKind::Code => {
            let open = format!("{CELL}<code style=\"white-space:pre-wrap\">");
            html::wrap(out, &open, &field.value, "</code></td>");
        }
        FieldKind::List => {
            let items: Vec<String> = field.value.lines().map(|item| format!("• {item}")).collect();
            html::wrap(out, CELL, &items.join("\n"), "</td>");
        }
    }
    out.push_str("</tr>\n");
}
