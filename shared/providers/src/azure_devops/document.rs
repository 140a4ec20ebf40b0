//! What people read: titles, and the HTML of descriptions and comments.

use crate::{
    About,
    display::{
        Display, FieldKind,
        text::{self, Measure},
    },
    tracker::{self, Job, Said},
};

/// Longest title and name of a link, in units of UTF-16. Azure DevOps says characters, which are never more.
pub(super) const SHORT_UNITS_MAX: usize = 255;
/// All text of a description, in units of UTF-16. A field takes a million characters; nobody reads so many.
const ITEM_UNITS_MAX: usize = 24_000;
/// The same of a comment: few enough that ours is read whole where it is looked for.
const COMMENT_UNITS_MAX: usize = 6_000;
/// Characters of a text that an owner's template has made.
const TEMPLATE_CHARS_MAX: usize = 20_000;
/// What the display calls the criteria, which stand in a list of their own here.
const CRITERIA: &str = "Acceptance Criteria";

/// A clean line, cut.
pub(super) fn short(line: &str) -> String {
    tracker::short(line, SHORT_UNITS_MAX)
}

/// What a work item says.
pub(super) fn of_item(job: &Job<'_>, about: &About) -> String {
    said(job, about, ITEM_UNITS_MAX, None)
}

/// What a comment says. Its marker stands in it, as the list of comments shows nothing else that we could know it by.
pub(super) fn of_comment(job: &Job<'_>, about: &About) -> String {
    said(job, about, COMMENT_UNITS_MAX, Some(&job.marker))
}

fn said(job: &Job<'_>, about: &About, room: usize, marker: Option<&str>) -> String {
    let display = Display::of(job.delivery, about);
    let mut document = Document {
        html: String::new(),
        room,
    };
    let template = job
        .text
        .body
        .as_deref()
        .map(|body| text::block(body, TEMPLATE_CHARS_MAX));
    match template.filter(|body| !body.is_empty()) {
        Some(body) => document.paragraphs(&body),
        None => document.display(&display, job.said),
    }
    document.footer(&display, marker);
    document.html
}

/// HTML under way. Texts are cut to what is left of its room, then escaped.
struct Document {
    html: String,
    room: usize,
}

/// A text, and what it stands in.
type Part = (String, Option<&'static str>);

impl Document {
    fn display(&mut self, display: &Display<'_>, said: &Said) {
        let mut title = format!("{} {}", display.emoji, text::isolated(&display.title));
        if let Some(headline) = &display.headline {
            title.push_str(": ");
            title.push_str(&text::isolated(headline));
        }
        self.paragraph(vec![(title, Some("b"))]);
        if display.says_more() {
            self.paragraphs(&display.message);
        }
        let mut facts = Vec::new();
        for field in &display.fields {
            if field.label == CRITERIA && !said.criteria.is_empty() {
                continue;
            }
            let label = format!("{}: ", text::isolated(&field.label));
            if matches!(field.kind, FieldKind::Code) {
                self.bullets(std::mem::take(&mut facts));
                self.paragraph(vec![(label, Some("b"))]);
                self.code(&field.value);
            } else {
                let value = text::isolated(&field.value).into_owned();
                facts.push(vec![(label, Some("b")), (value, None)]);
            }
        }
        if display.fields_more > 0 {
            facts.push(vec![(format!("and {} more fields", display.fields_more), None)]);
        }
        for entry in &display.entries {
            facts.push(vec![(entry.line(), None)]);
        }
        if display.entries_more > 0 {
            facts.push(vec![(format!("and {} more events", display.entries_more), None)]);
        }
        self.bullets(facts);
        self.criteria(said);
        for link in &display.links {
            self.link(link.label, &link.url);
        }
    }

    fn criteria(&mut self, said: &Said) {
        if said.criteria.is_empty() {
            return;
        }
        self.paragraph(vec![(CRITERIA.to_owned(), Some("b"))]);
        let each = said.criteria.iter();
        let mut items: Vec<Vec<Part>> = each.map(|criterion| vec![(criterion.clone(), None)]).collect();
        if said.criteria_more > 0 {
            items.push(vec![(format!("and {} more", said.criteria_more), None)]);
        }
        self.bullets(items);
    }

    fn footer(&mut self, display: &Display<'_>, marker: Option<&str>) {
        // It stands in any document, however full.
        self.room += SHORT_UNITS_MAX * 2;
        let brand = text::line(display.brand, SHORT_UNITS_MAX);
        let line = format!("{} · {} · {}", display.event_type, display.time, text::isolated(&brand));
        let mut parts = vec![(line, Some("i"))];
        if let Some(marker) = marker {
            parts.push((" · ".to_owned(), Some("i")));
            parts.push((marker.to_owned(), Some("code")));
        }
        self.paragraph(parts);
    }

    /// A text of several lines, in which an empty one begins a new paragraph.
    fn paragraphs(&mut self, text: &str) {
        for part in text.split("\n\n") {
            self.paragraph(vec![(part.to_owned(), None)]);
        }
    }

    fn paragraph(&mut self, parts: Vec<Part>) {
        if let Some(inside) = self.inline(parts) {
            self.html.push_str(&format!("<p>{inside}</p>"));
        }
    }

    fn bullets(&mut self, items: Vec<Vec<Part>>) {
        let items: Vec<String> = items.into_iter().filter_map(|item| self.inline(item)).collect();
        if !items.is_empty() {
            self.html
                .push_str(&format!("<ul><li>{}</li></ul>", items.join("</li><li>")));
        }
    }

    fn code(&mut self, text: &str) {
        let text = self.take(text);
        if !text.trim().is_empty() {
            self.html.push_str(&format!("<pre>{}</pre>", escaped(&text)));
        }
    }

    fn link(&mut self, label: &str, url: &str) {
        // An address that was cut leads elsewhere: all of it or nothing.
        let text = self.take(label);
        if text == label {
            self.html
                .push_str(&format!("<p><a href=\"{}\">{}</a></p>", escaped(url), escaped(&text)));
        }
    }

    /// Texts in what they stand in, line ends as breaks; `None` where there is nothing to read.
    fn inline(&mut self, parts: Vec<Part>) -> Option<String> {
        let mut html = String::new();
        let mut is_read = false;
        for (text, element) in parts {
            let text = self.take(&text);
            if text.is_empty() {
                continue;
            }
            is_read |= !text.trim().is_empty();
            let inside = escaped(&text).replace('\n', "<br>");
            match element {
                Some(element) => html.push_str(&format!("<{element}>{inside}</{element}>")),
                None => html.push_str(&inside),
            }
        }
        is_read.then_some(html)
    }

    fn take(&mut self, text: &str) -> String {
        let kept = text::cut(text, self.room, Measure::Utf16).into_owned();
        self.room -= kept.encode_utf16().count().min(self.room);
        kept
    }
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}
