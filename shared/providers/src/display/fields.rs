//! The fields that are shown of an event's data: the known ones in their order, then the others as they come.

use std::borrow::Cow;

use signalbox_proto::{Event, types};

use super::{
    json::{self, Value},
    link::{Link, address_of},
    text,
};

/// Fields shown of one event; what is beyond is counted.
pub const FIELDS_MAX: usize = 20;
/// Characters of a field's value.
pub const VALUE_CHARS_MAX: usize = 800;
/// Characters of a value that shares its row with others.
pub const SHORT_CHARS_MAX: usize = 60;
/// Characters of a label.
pub const LABEL_CHARS_MAX: usize = 60;
/// Characters of an error.
pub const ERROR_CHARS_MAX: usize = 200;
/// Items shown of a list; what is beyond is counted.
pub const ITEMS_MAX: usize = 10;
/// Characters of one item.
pub const ITEM_CHARS_MAX: usize = 160;
/// Levels of objects that are flattened into fields of their own.
pub const LEVELS_MAX: usize = 3;
/// Members shown of an object that is an item of a list.
const MEMBERS_MAX: usize = 4;
/// Characters of a message.
pub const MESSAGE_CHARS_MAX: usize = 2_000;
/// Characters of what a message is filled with.
const FILLING_CHARS_MAX: usize = 200;

/// One field of an event's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// In words; never empty.
    pub label: Cow<'a, str>,
    /// Clean; never empty.
    pub value: Cow<'a, str>,
    /// How it wants to be shown.
    pub kind: FieldKind,
}

/// How a field wants to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// One line that may share its row with others.
    Short,
    /// One paragraph or several.
    Long,
    /// As it is, in a monospaced face.
    Code,
    /// One item a line.
    List,
}

/// What there is to show of an event's data.
#[derive(Debug, Default)]
pub(super) struct Shown<'a> {
    pub(super) headline: Option<Cow<'a, str>>,
    pub(super) message: Option<Cow<'a, str>>,
    pub(super) fields: Vec<Field<'a>>,
    pub(super) more: usize,
    pub(super) links: Vec<Link>,
}

/// The data's members by name: the known ones, and the first of the others.
#[derive(Default)]
struct Members<'a> {
    known: [Option<&'a str>; KNOWN],
    others: Vec<(Cow<'a, str>, &'a str)>,
    more: usize,
}

const VIEW_SPEC: &str = "View Spec";
const VIEW_PR: &str = "View PR";
const VIEW_DETAILS: &str = "View Details";
/// A member that is not there.
const NULL: &str = "null";
/// Names with a place of their own.
const KNOWN: usize = 20;

/// The place of a known name. As a match it is a few comparisons of numbers, where a list is one of texts for each name.
#[inline]
fn place(name: &str) -> Option<usize> {
    let place = match name {
        "title" => 0,
        "message" => 1,
        "agent_name" => 2,
        "severity" => 3,
        "success_rate" => 4,
        "error" => 5,
        "reason" => 6,
        "version" => 7,
        "affected_agents" => 8,
        "spec" => 9,
        "branch" => 10,
        "pr" => 11,
        "repository" => 12,
        "reviewers" => 13,
        "logs_url" => 14,
        "acceptance_criteria" => 15,
        "status" => 16,
        "latency_ms" => 17,
        // Attributes of the event, often given in its data.
        "agent_id" => 18,
        "execution_id" => 19,
        _ => return None,
    };
    Some(place)
}

impl<'a> Members<'a> {
    fn of(data: &'a str) -> Self {
        let mut this = Self::default();
        json::members(data, |name, value| {
            if let Some(place) = place(&name) {
                this.known[place] = Some(value);
            } else if value == NULL {
                // Says nothing, and is not worth a count.
            } else if this.others.len() < FIELDS_MAX {
                this.others.push((name, value));
            } else {
                this.more += 1;
            }
        });
        this
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.known[place(name)?]
    }

    /// A known member that is a text, a number or a truth value, on one line.
    fn line(&self, name: &str, chars_max: usize) -> Option<Cow<'a, str>> {
        line(self.get(name)?, chars_max)
    }
}

/// Reads the whole of what is shown.
pub(super) fn of<'a>(event: &'a Event, data: &'a str) -> Shown<'a> {
    let mut shown = Shown::default();
    let value = Value::of(data);
    if let Value::Object(object) = value {
        shown.object(event, &Members::of(object));
        return shown;
    }
    shown.attributes(event, None);
    match value {
        Value::Text(base64) if event.data_base64 => {
            let kind = event.datacontenttype.as_deref().unwrap_or("application/octet-stream");
            let value = format!(
                "{} bytes of {}",
                base64_bytes(&base64),
                text::line(kind, SHORT_CHARS_MAX)
            );
            shown.push("Data", value, FieldKind::Short);
        }
        Value::Text(text) => shown.message = block(text, MESSAGE_CHARS_MAX),
        _ => shown.value("Data".into(), data, 1),
    }
    shown
}

/// As [`of`], without the fields.
pub(super) fn brief<'a>(event: &'a Event, data: &'a str) -> Shown<'a> {
    let mut shown = Shown::default();
    match Value::of(data) {
        Value::Object(object) => {
            let members = Members::of(object);
            shown.headline = members.line("title", FILLING_CHARS_MAX);
            shown.message = message(event, &members).0;
            shown.links = links(&members);
        }
        Value::Text(text) if !event.data_base64 => shown.message = block(text, MESSAGE_CHARS_MAX),
        _ => {}
    }
    shown
}

/// What a reader may open.
fn links(members: &Members<'_>) -> Vec<Link> {
    let inside = |name| match Value::of(members.get(name)?) {
        Value::Object(object) => json::member(object, "url"),
        _ => None,
    };
    let all = [
        (VIEW_SPEC, inside("spec")),
        (VIEW_PR, inside("pr")),
        (VIEW_DETAILS, members.get("logs_url")),
    ];
    let link = |(label, json): (&'static str, Option<&str>)| match Value::of(json?) {
        Value::Text(address) => Some(Link {
            label,
            url: address_of(&address)?,
        }),
        _ => None,
    };
    all.into_iter().filter_map(link).collect()
}

/// The headline and the message alone, for a line of a digest. Where there is no message, what tells most stands for it.
pub(super) fn gist<'a>(event: &'a Event, data: &'a str) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
    match Value::of(data) {
        Value::Object(data) => {
            let members = Members::of(data);
            let headline = members.line("title", FILLING_CHARS_MAX);
            let said = message(event, &members).0;
            (headline, said.or_else(|| instead_of_message(&members)))
        }
        Value::Text(text) if !event.data_base64 => (None, block(text, MESSAGE_CHARS_MAX)),
        _ => (None, None),
    }
}

/// The event's own message, else that of its type with the fields it names; and those fields.
fn message<'a>(event: &Event, members: &Members<'a>) -> (Option<Cow<'a, str>>, Option<&'static str>) {
    if let Some(own) = members.get("message").and_then(|json| Value::of(json).scalar()) {
        return (block(own, MESSAGE_CHARS_MAX), None);
    }
    let Some(form) = types::built_in(event.event_type.as_str()).and_then(|known| known.message) else {
        return (None, None);
    };
    let mut made = String::with_capacity(form.len() + FILLING_CHARS_MAX);
    let mut rest = form;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        let value = match name {
            "error" => members
                .get(name)
                .and_then(error_text)
                .map(|text| one_line(text, FILLING_CHARS_MAX)),
            _ => members.line(name, FILLING_CHARS_MAX),
        };
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return (None, None);
        };
        made.push_str(before);
        made.push_str(&text::isolated(&value));
        rest = behind;
    }
    made.push_str(rest);
    (Some(made.into()), Some(form))
}

/// What an event is about that has no message: its error, its reason, or the spec that it concerns.
fn instead_of_message<'a>(members: &Members<'a>) -> Option<Cow<'a, str>> {
    let error = || {
        members
            .get("error")
            .and_then(error_text)
            .and_then(|text| block(text, ERROR_CHARS_MAX))
    };
    let spec = || match Value::of(members.get("spec")?) {
        Value::Object(spec) => spec_name(spec),
        value => value.scalar().map(|text| one_line(text, FILLING_CHARS_MAX)),
    };
    error()
        .or_else(|| members.line("reason", FILLING_CHARS_MAX))
        .or_else(spec)
}

/// The id and the title of a spec.
fn spec_name(spec: &str) -> Option<Cow<'_, str>> {
    let part = |name| line(json::member(spec, name)?, FILLING_CHARS_MAX);
    match (part("id"), part("title")) {
        (Some(id), Some(title)) => Some(format!("{}: {}", text::isolated(&id), text::isolated(&title)).into()),
        (id, title) => id.or(title),
    }
}

impl<'a> Shown<'a> {
    fn object(&mut self, event: &'a Event, members: &Members<'a>) {
        self.headline = members.line("title", FILLING_CHARS_MAX);
        let (message, form) = message(event, members);
        self.message = message;
        // What the message was made of is not said twice, but for the error, whose text it may cut.
        let said = |name: &str| form.is_some_and(|form| form.contains(&format!("{{{name}}}")));

        self.attributes(event, members.get("agent_name"));
        if let Some(rate) = members.get("success_rate") {
            self.success_rate(rate);
        }
        if let Some(error) = members.get("error") {
            self.error(error);
        }
        for (name, label) in [("reason", "Reason"), ("version", "Version")] {
            if let Some(value) = members.get(name).filter(|_| !said(name)) {
                self.value(label.into(), value, 1);
            }
        }
        self.named("Affected Agents", members.get("affected_agents"));
        if let Some(spec) = members.get("spec") {
            self.spec(spec);
        }
        self.named("Branch", members.get("branch"));
        if let Some(pr) = members.get("pr") {
            self.pr(pr);
        }
        if let Some(repository) = members.get("repository") {
            self.repository(repository);
        }
        if let Some(reviewers) = members.get("reviewers") {
            self.people("Reviewers", reviewers);
        }
        if let Some(url) = members.get("logs_url") {
            self.link(VIEW_DETAILS, "Logs URL", url);
        }
        self.named("Acceptance Criteria", members.get("acceptance_criteria"));
        self.named("Status", members.get("status"));
        if let Some(Value::Number(latency)) = members.get("latency_ms").map(Value::of) {
            self.push("Latency", format!("{latency} ms"), FieldKind::Short);
        } else {
            self.named("Latency", members.get("latency_ms"));
        }
        for (label, name, known) in [
            ("Agent ID", "agent_id", event.agent_id.as_deref()),
            ("Execution", "execution_id", event.execution_id.as_deref()),
        ] {
            let given = members
                .line(name, VALUE_CHARS_MAX)
                .filter(|given| Some(&**given) != known);
            if let Some(given) = given {
                self.push(label, given, FieldKind::Short);
            }
        }
        if let Some(execution) = &event.execution_id {
            self.push("Execution", text::line(execution, SHORT_CHARS_MAX), FieldKind::Short);
        }
        for (name, value) in &members.others {
            self.value(label(name).into(), value, 1);
        }
        self.more += members.more;
    }

    /// What the event itself says beside its data: the agent, and the severity where it named one.
    fn attributes(&mut self, event: &'a Event, agent_name: Option<&'a str>) {
        let named = agent_name.and_then(|json| line(json, VALUE_CHARS_MAX));
        let agent = named.or_else(|| Some(text::line(event.agent_id.as_deref()?, VALUE_CHARS_MAX)));
        if let Some(agent) = agent {
            self.push("Agent", agent, FieldKind::Short);
        }
        if event.severity_named {
            self.push("Severity", event.severity.as_str(), FieldKind::Short);
        }
        if let Some(subject) = &event.subject {
            self.push("Subject", text::line(subject, VALUE_CHARS_MAX), FieldKind::Short);
        }
    }

    /// A share of one as per cent; anything else as it is written.
    fn success_rate(&mut self, json: &'a str) {
        let share = json.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        match share {
            Some(share) => {
                // By whole numbers: the exact writing of a fraction costs as much as all of the field.
                let per_mille = (share * 1_000.0).round() as u32;
                let value = format!("{}.{} %", per_mille / 10, per_mille % 10);
                self.push("Success Rate", value, FieldKind::Short);
            }
            None => self.value("Success Rate".into(), json, 1),
        }
    }

    fn error(&mut self, json: &'a str) {
        if let Some(error) = error_text(json).and_then(|error| block(error, ERROR_CHARS_MAX)) {
            self.push("Error", error, FieldKind::Code);
        }
        match Value::of(json) {
            Value::Object(error) => self.rest("Error", error, &["message"], 2),
            Value::List(_) => self.value("Error".into(), json, 1),
            _ => {}
        }
    }

    fn spec(&mut self, json: &'a str) {
        let Value::Object(spec) = Value::of(json) else {
            return self.value("Spec".into(), json, 1);
        };
        if let Some(named) = spec_name(spec) {
            self.push("Spec", named, FieldKind::Short);
        }
        if let Some(file) = json::member(spec, "file").and_then(|json| line(json, FILLING_CHARS_MAX)) {
            self.push("Spec File", file, FieldKind::Short);
        }
        for (label, name) in [("Spec Status", "status"), ("Spec Severity", "severity")] {
            self.named(label, json::member(spec, name));
        }
        if let Some(url) = json::member(spec, "url") {
            self.link(VIEW_SPEC, "Spec URL", url);
        }
        self.rest("Spec", spec, &["id", "title", "file", "status", "severity", "url"], 2);
    }

    fn pr(&mut self, json: &'a str) {
        match Value::of(json) {
            Value::Number(number) => self.push("PR", format!("#{number}"), FieldKind::Short),
            Value::Object(pr) => {
                if let Some(number) = json::member(pr, "number").and_then(|json| line(json, SHORT_CHARS_MAX)) {
                    let number = number.strip_prefix('#').unwrap_or(&number);
                    self.push("PR", format!("#{number}"), FieldKind::Short);
                }
                if let Some(url) = json::member(pr, "url") {
                    self.link(VIEW_PR, "PR URL", url);
                }
                self.rest("PR", pr, &["number", "url"], 2);
            }
            _ => self.value("PR".into(), json, 1),
        }
    }

    fn repository(&mut self, json: &'a str) {
        let Value::Object(repository) = Value::of(json) else {
            return self.value("Repository".into(), json, 1);
        };
        let part = |name| line(json::member(repository, name)?, FILLING_CHARS_MAX);
        let owner = json::member(repository, "owner").and_then(person);
        let named = match (owner, part("name")) {
            (Some(owner), Some(name)) => Some(format!("{owner}/{name}").into()),
            (owner, name) => name.or(owner),
        };
        if let Some(named) = named {
            self.push("Repository", named, FieldKind::Short);
        }
        self.rest("Repository", repository, &["owner", "name"], 2);
    }

    /// A list of people on one line: names, or objects that hold one.
    fn people(&mut self, label: &'static str, json: &'a str) {
        let Value::List(list) = Value::of(json) else {
            return self.value(label.into(), json, 1);
        };
        let (items, more) = json::items(list, ITEMS_MAX);
        let names: Vec<Cow<'_, str>> = items.into_iter().filter_map(person).collect();
        if !names.is_empty() {
            self.push(label, joined(&names, more), FieldKind::Short);
        }
    }

    /// A link, or a field with the text that is none.
    fn link(&mut self, label: &'static str, field: &'static str, json: &'a str) {
        let Value::Text(address) = Value::of(json) else {
            return self.value(field.into(), json, 1);
        };
        match address_of(&address) {
            Some(url) => self.links.push(Link { label, url }),
            None => self.value(field.into(), json, 1),
        }
    }

    /// A member of a known name.
    fn named(&mut self, label: &'static str, json: Option<&'a str>) {
        if let Some(json) = json {
            self.value(label.into(), json, 1);
        }
    }

    /// The members of an object that have no place of their own.
    fn rest(&mut self, label: &str, object: &'a str, known: &[&str], level: usize) {
        let (mut kept, mut more) = (Vec::new(), 0);
        json::members(object, |name, value| {
            if value == NULL || known.contains(&&*name) {
                // Nothing, or shown already.
            } else if kept.len() < FIELDS_MAX {
                kept.push((name, value));
            } else {
                more += 1;
            }
        });
        for (name, value) in kept {
            let label = text::line(&format!("{label} {}", self::label(&name)), LABEL_CHARS_MAX).into_owned();
            self.value(label.into(), value, level);
        }
        self.more += more;
    }

    /// Any value, objects flattened up to [`LEVELS_MAX`].
    fn value(&mut self, label: Cow<'a, str>, json: &'a str, level: usize) {
        if self.fields.len() >= FIELDS_MAX {
            if json != NULL {
                self.more += 1;
            }
            return;
        }
        match Value::of(json) {
            Value::Null => {}
            Value::Object(object) if level < LEVELS_MAX => self.rest(&label, object, &[], level + 1),
            Value::Object(object) => {
                let value = flat(object);
                self.push(label, value, FieldKind::Long);
            }
            Value::List(list) => self.list(label, list),
            Value::Bool(text) | Value::Number(text) => {
                self.push(label, text::line(text, VALUE_CHARS_MAX), FieldKind::Short);
            }
            Value::Text(text) => {
                if let Some(value) = block(text, VALUE_CHARS_MAX) {
                    self.push(label, value, FieldKind::Short);
                }
            }
        }
    }

    /// A list: short plain items on one line, others one a line.
    fn list(&mut self, label: Cow<'a, str>, list: &'a str) {
        let (items, more) = json::items(list, ITEMS_MAX);
        let short = |item: &&str| match Value::of(item) {
            Value::Text(text) => text.len() <= SHORT_CHARS_MAX / 2 && !text.contains([',', '\n']),
            Value::Bool(_) | Value::Number(_) => true,
            _ => false,
        };
        let in_line = items.iter().all(short);
        let items: Vec<Cow<'_, str>> = items.into_iter().filter_map(item).collect();
        match (items.is_empty(), in_line) {
            (true, _) => {}
            (false, true) => self.push(label, joined(&items, more), FieldKind::Short),
            (false, false) => {
                let mut lines = items.join("\n");
                if more > 0 {
                    lines.push_str(&format!("\nand {more} more"));
                }
                self.push(label, lines, FieldKind::List);
            }
        }
    }

    /// Adds a field, or counts it where there are enough. What was taken for short may not be.
    fn push(&mut self, label: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>, kind: FieldKind) {
        let value = value.into();
        if value.is_empty() {
            return;
        }
        if self.fields.len() >= FIELDS_MAX {
            self.more += 1;
            return;
        }
        let long =
            value.len() > SHORT_CHARS_MAX && value.chars().nth(SHORT_CHARS_MAX).is_some() || value.contains('\n');
        let kind = match kind {
            FieldKind::Short if long => FieldKind::Long,
            kind => kind,
        };
        self.fields.push(Field {
            label: label.into(),
            value,
            kind,
        });
    }
}

/// An error's text: itself, or the message inside it.
fn error_text(json: &str) -> Option<Cow<'_, str>> {
    match Value::of(json) {
        Value::Object(error) => Value::of(json::member(error, "message")?).scalar(),
        value => value.scalar(),
    }
}

/// A scalar on one line; `None` where nothing is left of it.
fn line(json: &str, chars_max: usize) -> Option<Cow<'_, str>> {
    let text = one_line(Value::of(json).scalar()?, chars_max);
    (!text.is_empty()).then_some(text)
}

fn one_line(text: Cow<'_, str>, chars_max: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => text::line(text, chars_max),
        Cow::Owned(text) => text::line(&text, chars_max).into_owned().into(),
    }
}

fn block(text: Cow<'_, str>, chars_max: usize) -> Option<Cow<'_, str>> {
    let text = match text {
        Cow::Borrowed(text) => text::block(text, chars_max),
        Cow::Owned(text) => text::block(&text, chars_max).into_owned().into(),
    };
    (!text.is_empty()).then_some(text)
}

/// One item of a list on one line.
fn item(json: &str) -> Option<Cow<'_, str>> {
    match Value::of(json) {
        Value::Object(object) => Some(flat(object).into()).filter(|text: &Cow<'_, str>| !text.is_empty()),
        Value::List(list) => {
            let (kept, more) = json::items(list, ITEMS_MAX);
            Some(format!("list of {}", kept.len() + more).into())
        }
        _ => line(json, ITEM_CHARS_MAX),
    }
}

/// An object on one line: its first members that are plain values.
fn flat(object: &str) -> String {
    let (mut parts, mut more) = (Vec::new(), 0);
    json::members(object, |name, value| {
        if value == NULL {
            // Says nothing, and is not worth a count.
        } else if parts.len() < MEMBERS_MAX
            && let Some(value) = line(value, ITEM_CHARS_MAX)
        {
            parts.push(format!("{}: {}", label(&name), text::isolated(&value)));
        } else {
            more += 1;
        }
    });
    match (parts.is_empty(), more) {
        (true, 0) => String::new(),
        (true, more) => format!("{more} fields"),
        (false, _) => {
            let parts: Vec<Cow<'_, str>> = parts.into_iter().map(Cow::Owned).collect();
            joined(&parts, more)
        }
    }
}

/// A person's name, or that of an object that stands for one.
fn person(json: &str) -> Option<Cow<'_, str>> {
    let name = match Value::of(json) {
        Value::Object(person) => ["login", "name", "username", "id"]
            .iter()
            .find_map(|key| Value::of(json::member(person, key)?).scalar())?,
        value => value.scalar()?,
    };
    let name = one_line(name, SHORT_CHARS_MAX);
    (!name.is_empty()).then_some(name)
}

fn joined(parts: &[Cow<'_, str>], more: usize) -> String {
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&text::isolated(part));
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// A field's name in words: `exit_code`, `exitCode` and `exit-code` are "Exit Code".
pub(super) fn label(name: &str) -> String {
    let name = text::line(name, LABEL_CHARS_MAX);
    let mut words = String::with_capacity(name.len() + 4);
    let (mut begin, mut start, mut lower) = (0, true, false);
    for c in name.chars() {
        if matches!(c, '_' | '-' | '.' | ' ' | '/') {
            start = true;
            continue;
        }
        if (start || lower && c.is_uppercase()) && !words.is_empty() {
            capitalize(&mut words, begin);
            words.push(' ');
            begin = words.len();
            start = true;
        }
        if start {
            words.extend(c.to_uppercase());
        } else {
            words.push(c);
        }
        (start, lower) = (false, c.is_lowercase());
    }
    capitalize(&mut words, begin);
    match words.len() {
        0 => "Unnamed".to_owned(),
        // A name has become longer by its spaces, and by letters that are several in capitals.
        1..=LABEL_CHARS_MAX => words,
        _ => text::line(&words, LABEL_CHARS_MAX).into_owned(),
    }
}

/// Writes the word that begins there in capitals where it is an abbreviation.
fn capitalize(words: &mut str, begin: usize) {
    const CAPITALS: [&str; 16] = [
        "api", "ci", "cpu", "db", "dns", "http", "id", "ip", "ms", "pr", "sha", "slo", "sql", "tls", "uri", "url",
    ];
    let Some(word) = words.get_mut(begin..) else { return };
    if (2..=4).contains(&word.len()) && CAPITALS.iter().any(|known| known.eq_ignore_ascii_case(word)) {
        word.make_ascii_uppercase();
    }
}

/// How many bytes a base64 text stands for.
fn base64_bytes(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

#[cfg(test)]
mod tests;
