//! One block of the guide's form, read into the integrations that it stands for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use signalbox_providers::{
    MASK, planned,
    wording::{self, kind},
};

use super::{
    INTEGRATIONS, Reading, Translation,
    blocks::{self, Block, DATADOG, RECIPIENTS, SUBSCRIPTIONS, WEBHOOKS},
    events,
};
use crate::file::{
    dotted,
    made::{Made, Source},
    resolve::{self, Unresolved},
};

/// Fields of Datadog that only one of its two integrations has.
const OF_EVENTS: [&str; 2] = ["event_tags", "send_events"];
const OF_METRICS: [&str; 3] = ["metric_name", "metric_prefix", "send_metrics"];

/// A block whose references are resolved.
struct Draft {
    block: &'static Block,
    place: String,
    enabled: bool,
    fields: Map<String, Value>,
    /// What its texts referred to, by their places below it.
    references: Vec<(String, Vec<String>)>,
    /// What they referred to in vain.
    unset: Vec<String>,
}

/// Reads what stands below a key of `integrations`.
pub(super) fn read(translation: &mut Translation, reading: &Reading<'_>, place: &str, key: &str, value: &Value) {
    let Some(block) = blocks::find(key) else {
        return translation.fail(place, unknown_block(key));
    };
    let Value::Object(fields) = value else {
        let message = format!("is {}, not a block of fields such as `enabled: true`", kind(value));
        return translation.fail(place, message);
    };
    let enabled = match fields.get("enabled") {
        Some(Value::Bool(enabled)) => *enabled,
        None | Some(Value::Null) => {
            translation
                .warnings
                .push(format!("{} has no `enabled` and is taken as enabled", dotted(place)));
            true
        }
        Some(other) => {
            let message = format!("is {}, neither true nor false", kind(other));
            translation.fail(format!("{place}/enabled"), message);
            true
        }
    };
    if block.key == WEBHOOKS {
        for field in fields
            .keys()
            .filter(|field| !["enabled", "endpoints"].contains(&field.as_str()))
        {
            let message = if block.fields(&["name"]).contains(&field.as_str()) {
                "belongs to one of the endpoints: move it there".to_owned()
            } else {
                wording::unknown(field, &["enabled", "endpoints"])
            };
            translation.fail(format!("{place}/{field}"), message);
        }
        for (place, fields) in endpoints_of(translation, place, fields.get("endpoints")) {
            if let Some(draft) = resolved(translation, reading, block, &place, enabled, fields) {
                let name = endpoint_name(translation, &draft);
                draft.make(translation, reading, name, &[]);
            }
        }
        return;
    }
    check_fields(translation, block, place, fields, "enabled");
    if !(reading.version.provides)(block.provider) {
        let until = (reading.version.brings)(block.provider).map_or_else(
            || format!("the provider {} is not in this version", block.provider),
            |version| format!("the provider {} comes with version {version}", block.provider),
        );
        if !enabled {
            translation
                .left_out
                .push((dotted(place), format!("it is disabled, and {until}")));
            return;
        }
        translation.unavailable(reading, place, until);
        if reading.skip_unavailable {
            return;
        }
    }
    let Some(draft) = resolved(translation, reading, block, place, enabled, fields) else {
        return;
    };
    let name = (block.key.to_owned(), Source::Place(place.to_owned()));
    if block.key != DATADOG {
        return draft.make(translation, reading, name, &[]);
    }
    match (
        draft.flag(translation, "send_events"),
        draft.flag(translation, "send_metrics"),
    ) {
        (true, true) => {
            let named = |suffix: &str| (format!("{DATADOG}-{suffix}"), Source::Place(place.to_owned()));
            draft.make(translation, reading, named("events"), &OF_METRICS);
            draft.make(translation, reading, named("metrics"), &OF_EVENTS);
        }
        (false, false) if !draft.has("action") => {
            translation.fail(place, "sends nothing: set send_events or send_metrics to true");
        }
        _ => draft.make(translation, reading, name, &[]),
    }
}

/// The integrations of a list's entry that names the provider `webhooks` and lists endpoints. Its other fields are
/// those of each. The references in it are resolved.
pub(in crate::file) fn list_entry(
    translation: &mut Translation,
    reading: &Reading<'_>,
    place: &str,
    entry: &Map<String, Value>,
) {
    let (endpoints_place, endpoints) = match (entry.get("endpoints"), entry.get("config")) {
        (Some(endpoints), None) => (place.to_owned(), Some(endpoints)),
        (None, Some(Value::Object(config))) if config.len() == 1 => {
            (format!("{place}/config"), config.get("endpoints"))
        }
        _ => {
            let message = "has fields beside its endpoints: give each endpoint its own";
            return translation.fail(format!("{place}/config"), message);
        }
    };
    for field in ["name", "credentials"]
        .iter()
        .filter(|field| entry.contains_key(**field))
    {
        let message = "belongs to one of the endpoints: move it there";
        translation.fail(format!("{place}/{field}"), message);
    }
    let block = blocks::find(WEBHOOKS).expect("the guide has it");
    let own = ["provider", "endpoints", "config", "name", "credentials"];
    let before = translation.made.len();
    for (place, fields) in endpoints_of(translation, &endpoints_place, endpoints) {
        check_fields(translation, block, &place, fields, "name");
        let draft = Draft {
            block,
            place,
            enabled: true,
            fields: fields.clone(),
            references: Vec::new(),
            unset: Vec::new(),
        };
        let name = endpoint_name(translation, &draft);
        draft.make(translation, reading, name, &[]);
    }
    for made in translation.made.iter_mut().skip(before) {
        for (field, value) in entry.iter().filter(|(field, _)| !own.contains(&field.as_str())) {
            made.value[field] = value.clone();
            let source = Source::Place(format!("{place}/{field}"));
            made.fields.insert(field.clone(), source);
        }
    }
}

fn unknown_block(key: &str) -> String {
    let name = planned::canonical(key);
    if signalbox_providers::find(name).is_some() || planned::provider(name).is_some() {
        return format!(
            "is no block of this form: write `{INTEGRATIONS}` as a list, with `- name: {key}` and `provider: {name}`"
        );
    }
    let keys: Vec<&str> = blocks::all().iter().map(|block| block.key).collect();
    match wording::nearest(key, &keys) {
        Some(meant) => format!("is no block of this form: did you mean {meant}?"),
        None => format!("is no block of this form: there are {}", keys.join(", ")),
    }
}

fn check_fields(
    translation: &mut Translation,
    block: &Block,
    place: &str,
    fields: &Map<String, Value>,
    own: &'static str,
) {
    let known = block.fields(&[own]);
    for field in fields.keys().filter(|field| !known.contains(&field.as_str())) {
        translation.fail(format!("{place}/{field}"), wording::unknown(field, &known));
    }
}

/// The endpoints of a list of such, with their places.
fn endpoints_of<'a>(
    translation: &mut Translation,
    place: &str,
    given: Option<&'a Value>,
) -> Vec<(String, &'a Map<String, Value>)> {
    let place = format!("{place}/endpoints");
    let list = match given {
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(Value::Array(_) | Value::Null) | None => {
            translation.fail(place, "is empty: list at least one endpoint with name, url and events");
            return Vec::new();
        }
        Some(other) => {
            translation.fail(place, format!("is {}, not a list", kind(other)));
            return Vec::new();
        }
    };
    let mut endpoints = Vec::with_capacity(list.len());
    for (index, endpoint) in list.iter().enumerate() {
        let place = format!("{place}/{index}");
        match endpoint {
            Value::Object(fields) => endpoints.push((place, fields)),
            other => translation.fail(place, format!("is {}, not an endpoint with name and url", kind(other))),
        }
    }
    endpoints
}

fn endpoint_name(translation: &mut Translation, draft: &Draft) -> (String, Source) {
    let place = format!("{}/name", draft.place);
    let name = match draft.fields.get("name") {
        Some(Value::String(name)) => name.clone(),
        None | Some(Value::Null) => {
            translation.fail(&place, "is missing: it becomes the integration's name");
            String::new()
        }
        Some(other) => {
            translation.fail(&place, format!("is {}, not a text", kind(other)));
            String::new()
        }
    };
    (name, Source::Place(place))
}

/// Resolves the references of a block; `None` where one of them is not written as such.
///
/// What is not there is wrong unless the block is disabled: then a mask stands for what is stored.
fn resolved(
    translation: &mut Translation,
    reading: &Reading<'_>,
    block: &'static Block,
    place: &str,
    enabled: bool,
    fields: &Map<String, Value>,
) -> Option<Draft> {
    if block.key == WEBHOOKS {
        check_fields(translation, block, place, fields, "name");
    }
    let mut value = Value::Object(fields.clone());
    let references = resolve::references(&mut value);
    let mut unset = Vec::new();
    for (at, reason) in resolve::resolve(&mut value, reading.variable, reading.file) {
        match (&reason, value.pointer_mut(&at)) {
            (Unresolved::Unset(_) | Unresolved::Unreadable(_), Some(text)) if !enabled => {
                *text = Value::from(MASK);
                unset.push(reason.to_string());
            }
            _ => translation.fail(format!("{place}{at}"), reason.to_string()),
        }
    }
    let Value::Object(fields) = value else {
        return None;
    };
    Some(Draft {
        block,
        place: place.to_owned(),
        enabled,
        fields,
        references,
        unset,
    })
}

impl Draft {
    fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|value| !value.is_null())
    }

    fn flag(&self, translation: &mut Translation, field: &str) -> bool {
        match self.fields.get(field) {
            Some(Value::Bool(flag)) => *flag,
            None | Some(Value::Null) => false,
            Some(other) => {
                let message = format!("is {}, neither true nor false", kind(other));
                translation.fail(format!("{}/{field}", self.place), message);
                false
            }
        }
    }

    /// Makes an integration of the fields that are not `without`.
    fn make(
        &self,
        translation: &mut Translation,
        reading: &Reading<'_>,
        (name, name_source): (String, Source),
        without: &[&str],
    ) {
        let mut made = Made {
            value: json!({
                "name": name, "provider": self.block.provider, "enabled": self.enabled, "config": {}, "credentials": {},
            }),
            place: self.place.clone(),
            fields: BTreeMap::from([("name".to_owned(), name_source)]),
            is_block: true,
            variables: BTreeMap::new(),
            unset: self.unset.clone(),
        };
        let given = self.fields.iter().filter(|(field, value)| {
            !value.is_null() && !without.contains(&field.as_str()) && !SUBSCRIPTIONS.contains(&field.as_str())
        });
        for (field, value) in given {
            if let Some((part, _)) = self
                .block
                .target(field)
                .as_deref()
                .and_then(|field| field.split_once('/'))
            {
                made.value[part][field] = value.clone();
            }
        }
        for (at, names) in &self.references {
            let field = at.trim_start_matches('/').split('/').next().unwrap_or_default();
            if let Some(target) = self.block.target(field).filter(|_| !without.contains(&field)) {
                let rest = at.trim_start_matches('/').strip_prefix(field).unwrap_or_default();
                made.variables.insert(format!("{target}{rest}"), names.clone());
            }
        }
        self.subscribe(translation, &mut made);
        self.fill(translation, reading, &mut made);
        if self.block.key == WEBHOOKS {
            as_the_guide_sends(&mut made.value);
        }
        translation.made.push(made);
    }

    /// Fills what the block does not say from the environment.
    fn fill(&self, translation: &mut Translation, reading: &Reading<'_>, made: &mut Made) {
        let given = |made: &Made, field: &str| made.value.pointer(&format!("/{field}")).is_some_and(|v| !v.is_null());
        for need in self.block.needs {
            if given(made, need.field) || need.unless.iter().any(|field| given(made, field)) {
                continue;
            }
            // GitHub Actions sets a secret that is not there to nothing.
            let found = need.variables.iter().find_map(|name| {
                let value = (reading.variable)(name).filter(|value| !value.is_empty())?;
                Some((*name, value))
            });
            let value = match found {
                Some((name, value)) => {
                    made.fields
                        .insert(need.field.to_owned(), Source::Variable(name.to_owned()));
                    made.variables.insert(need.field.to_owned(), vec![name.to_owned()]);
                    value
                }
                None if !self.enabled => {
                    made.unset.push(format!("{} is not set", need.variables.join(" or ")));
                    MASK.to_owned()
                }
                None => {
                    let own = need.field.split_once('/').map_or(need.field, |(_, own)| own);
                    let names = need.variables.join(" or ");
                    let (what, own) = (need.what, dotted(own));
                    let message = format!("needs {names}, which is not set: {what}; set it, or write `{own}` here");
                    translation.fail(&self.place, message);
                    continue;
                }
            };
            put(&mut made.value, need.field, value.into());
        }
    }

    /// Collects the events that the block wants, in our names.
    fn subscribe(&self, translation: &mut Translation, made: &mut Made) {
        let mut wanted: Vec<(String, String)> = Vec::new();
        let before = translation.errors.len();
        let lists = SUBSCRIPTIONS.iter().filter(|field| self.has(field));
        for field in lists {
            let place = format!("{}/{field}", self.place);
            made.fields.insert("events".to_owned(), Source::Place(place.clone()));
            let list = match &self.fields[*field] {
                Value::Array(list) if list.is_empty() => {
                    translation.fail(place, "is empty: name the events that it wants");
                    continue;
                }
                Value::Array(list) => list,
                other => {
                    translation.fail(place, format!("is {}, not a list of events", kind(other)));
                    continue;
                }
            };
            let mut of_list: Vec<String> = Vec::new();
            for (index, value) in list.iter().enumerate() {
                let place = format!("{place}/{index}");
                let translated = match value {
                    Value::String(name) => events::translate(name),
                    other => Err(format!("is {}, not a text", kind(other))),
                };
                match translated {
                    Ok(event) if of_list.contains(&event) => translation.fail(place, "is there twice"),
                    Ok(event) => {
                        of_list.push(event.clone());
                        wanted.push((event, place));
                    }
                    Err(message) => translation.fail(place, message),
                }
            }
        }
        if self.block.config.contains(&RECIPIENTS) && self.has(RECIPIENTS) {
            self.receivers(translation, made, &mut wanted);
        }
        let mut events: Vec<String> = Vec::new();
        for (event, place) in wanted {
            if !events.contains(&event) {
                made.fields
                    .insert(format!("events/{}", events.len()), Source::Place(place));
                events.push(event);
            }
        }
        if events.is_empty() && translation.errors.len() == before {
            events = self.block.events.iter().map(|event| (*event).to_owned()).collect();
            if events.is_empty() {
                let example = match self.block.subscription {
                    RECIPIENTS => "recipients: { implementation_failed: [oncall@example.com] }".to_owned(),
                    field => format!("{field}: [implementation_failed]"),
                };
                translation.fail(&self.place, format!("names no events: add some, as in `{example}`"));
            }
        }
        made.value["events"] = json!(events);
    }

    /// The lists of receivers by event: their keys are events that are wanted.
    fn receivers(&self, translation: &mut Translation, made: &mut Made, wanted: &mut Vec<(String, String)>) {
        let place = format!("{}/{RECIPIENTS}", self.place);
        let Value::Object(lists) = &self.fields[RECIPIENTS] else {
            let message = format!("is {}, not lists of addresses by event", kind(&self.fields[RECIPIENTS]));
            return translation.fail(place, message);
        };
        let mut translated = Map::new();
        for (name, addresses) in lists {
            let place = format!("{place}/{name}");
            match events::translate(name) {
                Ok(event) if translated.contains_key(&event) => translation.fail(place, "is there twice"),
                Ok(event) => {
                    let field = format!("config/{RECIPIENTS}/{event}");
                    made.fields.insert(field, Source::Place(place.clone()));
                    translated.insert(event.clone(), addresses.clone());
                    wanted.push((event, place));
                }
                Err(message) => translation.fail(place, message),
            }
        }
        made.value["config"][RECIPIENTS] = Value::Object(translated);
    }
}

/// What the guide's receivers expect of a webhook: its own body, signed over the text of the secret.
fn as_the_guide_sends(integration: &mut Value) {
    if integration["config"]["payload"].is_null() {
        integration["config"]["payload"] = "flat".into();
    }
    let credentials = &integration["credentials"];
    let is_signed = credentials.get("secret").is_some() && credentials.get("secrets").is_none();
    if is_signed && integration["config"]["signature"].is_null() {
        integration["config"]["signature"] = "x_signature_256".into();
    }
}

/// Puts a value at a pointer below groups of fields; what is no such group stays, and the provider says so.
fn put(root: &mut Value, pointer: &str, value: Value) {
    let mut place = root;
    for token in pointer.split('/') {
        if place.is_null() {
            *place = json!({});
        }
        match place {
            Value::Object(map) => place = map.entry(token).or_insert(Value::Null),
            _ => return,
        }
    }
    *place = value;
}
