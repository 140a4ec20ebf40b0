//! What people read: summaries, and documents in the Atlassian Document Format (ADF).

use serde_json::{Value, json};

use crate::{
    About,
    display::{
        Display, FieldKind,
        text::{self, Measure},
    },
    tracker::{self, Job, Said},
};

/// Longest summary, name of a link and short text, in units of UTF-16. Jira says characters, which are never more.
pub(super) const SHORT_UNITS_MAX: usize = 255;
/// All text of a document, in units of UTF-16. Jira takes 32,767 characters, and counts marks of its own among them.
const DOCUMENT_UNITS_MAX: usize = 24_000;
/// A comment as JSON, in bytes: less than half of what is read of an answer, so that all of ours is seen where it is looked for,
/// with all that Jira writes beside it.
pub(super) const COMMENT_BYTES_MAX: usize = 28 * 1024;
/// Characters of a text that an owner's template has made.
const TEMPLATE_CHARS_MAX: usize = 20_000;
/// Lines of one paragraph; what is beyond stands on the last.
const LINES_MAX: usize = 200;
/// What the display calls the criteria, which stand in a list of their own here.
const CRITERIA: &str = "Acceptance Criteria";

/// A clean line, cut.
pub(super) fn short(line: &str) -> String {
    tracker::short(line, SHORT_UNITS_MAX)
}

/// What an issue says.
pub(super) fn of_issue(job: &Job<'_>, about: &About) -> Value {
    said(job, about, DOCUMENT_UNITS_MAX, None)
}

/// What a comment says. Its marker stands in it, as the list of comments shows nothing else that we could know it by.
pub(super) fn of_comment(job: &Job<'_>, about: &About) -> Value {
    let mut room = DOCUMENT_UNITS_MAX;
    loop {
        let document = said(job, about, room, Some(&job.marker));
        // Signs and lines weigh differently as JSON.
        if room == 0 || document.to_string().len() <= COMMENT_BYTES_MAX {
            return document;
        }
        room /= 2;
    }
}

/// The acceptance criteria alone, where there are any.
pub(super) fn criteria(said: &Said) -> Option<Value> {
    let mut document = Document::of(DOCUMENT_UNITS_MAX);
    // The field's own name stands above them.
    document.list(said);
    (!document.content.is_empty()).then(|| document.finish())
}

fn said(job: &Job<'_>, about: &About, room: usize, marker: Option<&str>) -> Value {
    let display = Display::of(job.delivery, about);
    let mut document = Document::of(room);
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
    document.finish()
}

/// A document under way. Texts are cut to what is left of its room.
struct Document {
    content: Vec<Value>,
    room: usize,
}

impl Document {
    fn of(room: usize) -> Self {
        Self {
            content: Vec::new(),
            room,
        }
    }

    fn display(&mut self, display: &Display<'_>, said: &Said) {
        let mut title = format!("{} {}", display.emoji, text::isolated(&display.title));
        if let Some(headline) = &display.headline {
            title.push_str(": ");
            title.push_str(&text::isolated(headline));
        }
        self.paragraph(vec![(title, Some("strong"))]);
        if display.says_more() {
            self.paragraphs(&display.message);
        }
        let mut facts = Vec::new();
        for field in &display.fields {
            if field.label == CRITERIA && !said.criteria.is_empty() {
                continue;
            }
            let label = format!("{}: ", text::isolated(&field.label));
            let value = text::isolated(&field.value).into_owned();
            if matches!(field.kind, FieldKind::Code) {
                self.bullets(std::mem::take(&mut facts));
                self.paragraph(vec![(label, Some("strong"))]);
                self.code(&field.value);
            } else {
                facts.push(vec![(label, Some("strong")), (value, None)]);
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
        self.paragraph(vec![(CRITERIA.to_owned(), Some("strong"))]);
        self.list(said);
    }

    fn list(&mut self, said: &Said) {
        let mut items: Vec<Parts> = said
            .criteria
            .iter()
            .map(|criterion| vec![(criterion.clone(), None)])
            .collect();
        if said.criteria_more > 0 {
            items.push(vec![(format!("and {} more", said.criteria_more), None)]);
        }
        self.bullets(items);
    }

    fn footer(&mut self, display: &Display<'_>, marker: Option<&str>) {
        // It stands in any document, however full.
        self.room += SHORT_UNITS_MAX * 2;
        let brand = text::line(display.brand, SHORT_UNITS_MAX);
        let mut parts = vec![(
            format!("{} · {} · {}", display.event_type, display.time, text::isolated(&brand)),
            Some("em"),
        )];
        if let Some(marker) = marker {
            parts.push((" · ".to_owned(), Some("em")));
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

    fn paragraph(&mut self, parts: Parts) {
        let content = self.inline(parts);
        if !content.is_empty() {
            self.content.push(json!({ "type": "paragraph", "content": content }));
        }
    }

    fn bullets(&mut self, items: Vec<Parts>) {
        let mut list = Vec::new();
        for item in items {
            let content = self.inline(item);
            if !content.is_empty() {
                list.push(json!({ "type": "listItem", "content": [{ "type": "paragraph", "content": content }] }));
            }
        }
        if !list.is_empty() {
            self.content.push(json!({ "type": "bulletList", "content": list }));
        }
    }

    fn code(&mut self, text: &str) {
        let text = self.take(text);
        if !text.is_empty() {
            self.content
                .push(json!({ "type": "codeBlock", "content": [{ "type": "text", "text": text }] }));
        }
    }

    fn link(&mut self, label: &str, url: &str) {
        // An address that was cut leads elsewhere: all of it or nothing.
        let text = self.take(label);
        if text == label {
            let marks = json!([{ "type": "link", "attrs": { "href": url } }]);
            let content = json!([{ "type": "text", "text": text, "marks": marks }]);
            self.content.push(json!({ "type": "paragraph", "content": content }));
        }
    }

    /// Texts with their marks, line ends as breaks. No text is empty: Jira refuses such a document.
    fn inline(&mut self, parts: Parts) -> Vec<Value> {
        let mut nodes = Vec::new();
        for (text, mark) in parts {
            let text = self.take(&text);
            for (index, line) in text.splitn(LINES_MAX, '\n').enumerate() {
                if index > 0 {
                    nodes.push(json!({ "type": "hardBreak" }));
                }
                if line.is_empty() {
                    continue;
                }
                let mut node = json!({ "type": "text", "text": line });
                if let Some(mark) = mark {
                    node["marks"] = json!([{ "type": mark }]);
                }
                nodes.push(node);
            }
        }
        let is_read = |node: &Value| node["text"].as_str().is_some_and(|text| !text.trim().is_empty());
        if nodes.iter().any(is_read) { nodes } else { Vec::new() }
    }

    fn take(&mut self, text: &str) -> String {
        let kept = text::cut(text, self.room, Measure::Utf16).into_owned();
        self.room -= kept.encode_utf16().count().min(self.room);
        kept
    }

    fn finish(self) -> Value {
        json!({ "version": 1, "type": "doc", "content": self.content })
    }
}

/// Texts of one paragraph, each with its mark.
type Parts = Vec<(String, Option<&'static str>)>;
