//! A provider without its type: what the table of all providers holds.

use std::{fmt, sync::OnceLock};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use signalbox_proto::{Delivery, Name, Outcome, Timestamp, integration::Template, outcome};
use url::Url;

use crate::{
    About, Egress, Error, Exchange, FieldError, Kind, Limits, Provider, Request, Step, Target, Text,
    http::{self, Auth, Response},
    provider::plain_yes,
    redact::Redactor,
    secret,
    template::{Takes, Texts},
    things::{Known, Move, Thing},
};

/// One provider, as a row of the table.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// One sentence for lists and forms.
    pub description: &'static str,
    /// The vendor's own page about what is called.
    pub docs_url: &'static str,
    /// What sort of target it is.
    pub kind: Kind,
    /// What `config.action` may name; none where there is but one thing to do.
    pub actions: &'static [&'static str],
    /// What it bears where an integration says nothing.
    pub limits: Limits,
    /// Which texts of an owner's template its requests hold.
    pub template: Takes,
    schemas: OnceLock<Schemas>,
    make_schemas: fn() -> Schemas,
    check: fn(&Schemas, Value, Value, Option<&Name>, &Egress) -> Checked<()>,
    warnings: fn(&Schemas, Value, Value) -> Vec<FieldError>,
    open: fn(&Schemas, Value, Value, About, Option<Texts>) -> Checked<AnyBox>,
    retry_count: fn(&Value) -> Option<u32>,
    #[cfg(test)]
    pub(crate) samples: fn() -> Vec<crate::conformance::Sample>,
}

/// A result, or all that is wrong with the fields.
type Checked<T> = Result<T, Vec<FieldError>>;
type AnyBox = Box<dyn AnyTarget>;

struct Schemas {
    config: Value,
    credentials: Value,
}

/// One integration, ready to be delivered to, whatever its provider.
pub trait AnyTarget: Send + Sync {
    /// Which integration it is.
    fn about(&self) -> &About;
    /// Its secrets, to take them out of what its answers say. Outcomes are without them already.
    fn redactor(&self) -> &Redactor;
    /// The next request, or the end. `so_far` holds the answers of this delivery's requests.
    fn next(&self, delivery: &Delivery, so_far: &[Exchange], now: Timestamp) -> Step;
    /// What a delivery is about, where the target keeps things; [`Self::go_on`] then delivers, and not [`Self::next`].
    fn thing(&self, delivery: &Delivery) -> Option<Thing>;
    /// What to do next at a target that keeps things.
    fn go_on(&self, delivery: &Delivery, known: &Known<'_>, now: Timestamp) -> Move;
    /// The lightest request that proves the credentials work; `None` where only an event does.
    fn probe(&self, now: Timestamp) -> Option<Request>;
    /// What the answer to a probe means. `now` is when it came.
    fn classify(&self, response: &Response, now: Timestamp) -> Outcome;
    /// What the target might answer where it takes a request.
    fn made_up(&self, _request: &Request) -> Response {
        plain_yes()
    }
}

impl<P: Provider> AnyTarget for Target<P> {
    fn about(&self) -> &About {
        &self.about
    }

    fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    fn next(&self, delivery: &Delivery, so_far: &[Exchange], now: Timestamp) -> Step {
        let text = match self.text(delivery) {
            Ok(text) => text,
            Err(rejected) => return Step::Done(rejected),
        };
        match P::next(self, delivery, &text, so_far, now) {
            Step::Done(outcome) => Step::Done(self.redactor.outcome(outcome)),
            Step::Send(request) => Step::Send(self.owning(request)),
        }
    }

    fn thing(&self, delivery: &Delivery) -> Option<Thing> {
        P::KEEPS.map(|keeps| (keeps.thing)(self, delivery))
    }

    fn go_on(&self, delivery: &Delivery, known: &Known<'_>, now: Timestamp) -> Move {
        let Some(keeps) = P::KEEPS else {
            let reason = format!("{} keeps no things", P::NAME);
            return Move::Done(Outcome::Reject { reason });
        };
        let text = match self.text(delivery) {
            Ok(text) => text,
            Err(rejected) => return Move::Done(rejected),
        };
        match (keeps.go_on)(self, delivery, &text, known, now) {
            Move::Ask(name, request) => Move::Ask(name, self.owning(request)),
            Move::Once(name, request) => Move::Once(name, self.owning(request)),
            Move::Learn(lessons) => Move::Learn(lessons),
            wait @ (Move::Wait { .. } | Move::Pause { .. }) => wait,
            Move::Done(outcome) => Move::Done(self.redactor.outcome(outcome)),
        }
    }

    fn probe(&self, now: Timestamp) -> Option<Request> {
        P::probe(self, now).map(|request| self.owning(request))
    }

    fn classify(&self, response: &Response, now: Timestamp) -> Outcome {
        self.redactor.outcome(P::classify(response, now))
    }

    fn made_up(&self, request: &Request) -> Response {
        P::made_up(self, request)
    }
}

impl<P: Provider> Target<P> {
    /// What its owner's template makes of a delivery, or how that ends it.
    fn text(&self, delivery: &Delivery) -> Result<Text, Outcome> {
        match self.texts.as_ref().map(|texts| texts.render(delivery, &self.about)) {
            None => Ok(Text::default()),
            Some(Ok(text)) => Ok(text),
            // It would be the same the next time: a dead letter, to be replayed once the template is mended.
            Some(Err(why)) => {
                let reason = outcome::reason(&format!("template: {why}"));
                Err(self.redactor.outcome(Outcome::Reject { reason }))
            }
        }
    }

    /// Says whose token a request asks for: a provider does not know that yet when it reads its credentials.
    fn owning(&self, request: Request) -> Request {
        if let Request::Http(http::Request {
            auth: Auth::OAuth2(grant),
            ..
        }) = &request
        {
            grant.belongs_to(&self.about.integration);
        }
        request
    }
}

#[cfg(not(test))]
use crate::Provider as Tested;
/// A provider, and in tests one that the conformance suite knows how to try.
#[cfg(test)]
use crate::conformance::Sampled as Tested;

impl Entry {
    /// The row of a provider.
    pub(crate) const fn of<P: Tested>() -> Self {
        Self {
            name: P::NAME,
            description: P::DESCRIPTION,
            docs_url: P::DOCS,
            kind: P::KIND,
            actions: P::ACTIONS,
            limits: P::LIMITS,
            template: P::TEMPLATE,
            schemas: OnceLock::new(),
            make_schemas: make_schemas::<P>,
            check: check::<P>,
            warnings: warnings::<P>,
            open: open::<P>,
            retry_count: retry_count::<P>,
            #[cfg(test)]
            samples: P::samples,
        }
    }

    /// The JSON Schema (2020-12) of `config`. Secret fields carry [`crate::SECRET_MARK`].
    pub fn config_schema(&self) -> &Value {
        &self.schemas().config
    }

    /// The JSON Schema (2020-12) of `credentials`.
    pub fn credentials_schema(&self) -> &Value {
        &self.schemas().credentials
    }

    /// Checks what an owner wrote, whole: field names and types, what the provider asks of them,
    /// and whether egress rules let it go there. `null` counts as an empty object.
    pub fn check(&self, config: &Value, credentials: &Value, egress: &Egress) -> Result<(), Vec<FieldError>> {
        (self.check)(self.schemas(), config.clone(), credentials.clone(), None, egress)
    }

    /// As [`Entry::check`], and whether it is right for an integration of this org.
    pub fn check_in(
        &self,
        org: &Name,
        config: &Value,
        credentials: &Value,
        egress: &Egress,
    ) -> Result<(), Vec<FieldError>> {
        (self.check)(self.schemas(), config.clone(), credentials.clone(), Some(org), egress)
    }

    /// What an owner should be told of a configuration that passes [`Entry::check`]: fields without an effect and
    /// the like. Nothing where it does not pass.
    pub fn warnings(&self, config: &Value, credentials: &Value) -> Vec<FieldError> {
        (self.warnings)(self.schemas(), config.clone(), credentials.clone())
    }

    /// Makes a target from a config joined with its secrets. Egress rules are not asked here: the
    /// client holds them at every request.
    pub fn open(&self, config: Value, credentials: Value, about: About) -> Result<Box<dyn AnyTarget>, Error> {
        self.open_with_template(config, credentials, about, None)
    }

    /// As [`Entry::open`], for an integration whose owner may have given texts of his own.
    pub fn open_with_template(
        &self,
        config: Value,
        credentials: Value,
        about: About,
        template: Option<&Template>,
    ) -> Result<Box<dyn AnyTarget>, Error> {
        let texts = template.map(|template| Texts::read(template, self.name, self.template));
        texts
            .transpose()
            .and_then(|texts| (self.open)(self.schemas(), config, credentials, about, texts))
            .map_err(|errors| Error::Fields {
                provider: self.name,
                errors,
            })
    }

    /// Checks the template of an owner: its syntax, and whether the provider takes its parts.
    pub fn check_template(&self, template: &Template) -> Result<(), Vec<FieldError>> {
        Texts::read(template, self.name, self.template).map(|_| ())
    }

    /// Parts a config into what may lie open and the secret rest that is to be sealed.
    pub fn split_secrets(&self, config: Value) -> (Value, Value) {
        secret::split(self.config_schema(), config)
    }

    /// Undoes [`Entry::split_secrets`].
    pub fn join_secrets(&self, public: Value, secret: Value) -> Value {
        secret::join(public, secret)
    }

    /// A config for answers, [`crate::MASK`] in the place of its secrets.
    pub fn mask(&self, config: &Value) -> Value {
        secret::mask(self.config_schema(), config)
    }

    /// Credentials for answers, [`crate::MASK`] in the place of their secrets.
    pub fn mask_credentials(&self, credentials: &Value) -> Value {
        secret::mask(self.credentials_schema(), credentials)
    }

    /// Every text that is secret in a config and its credentials.
    pub fn secrets(&self, config: &Value, credentials: &Value) -> Vec<String> {
        secrets(self.schemas(), config, credentials)
    }

    /// How many steps of the retry schedule this config asks to keep; `None` where it does not say,
    /// or does not pass [`Entry::check`].
    pub fn retry_count(&self, config: &Value) -> Option<u32> {
        (self.retry_count)(config)
    }

    fn schemas(&self) -> &Schemas {
        self.schemas.get_or_init(self.make_schemas)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The schema of a type without references, so that who walks it need not resolve them.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn make_schemas<P: Provider>() -> Schemas {
    Schemas {
        config: schema_of::<P::Config>(),
        credentials: schema_of::<P::Credentials>(),
    }
}

fn check<P: Provider>(
    schemas: &Schemas,
    config: Value,
    credentials: Value,
    org: Option<&Name>,
    egress: &Egress,
) -> Checked<()> {
    let prepared = prepare::<P>(schemas, config, credentials)?;
    let misplaced = org.map(|org| P::misplaced(&prepared, org)).unwrap_or_default();
    let refused = P::urls(&prepared).into_iter().filter_map(|(pointer, url)| {
        let refused = egress.check_url(url).map_err(|refusal| refusal.to_string());
        let message = refused.and_then(|()| on_hosts(P::hosts(pointer), url, egress)).err()?;
        Some(FieldError::new(pointer, message))
    });
    none_of(misplaced.into_iter().chain(refused).collect())
}

fn none_of(errors: Vec<FieldError>) -> Checked<()> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Whether an address is one of its vendor's, or where an operator allows it.
fn on_hosts(hosts: &[&str], url: &Url, egress: &Egress) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    if hosts.is_empty() {
        return Ok(());
    }
    let vendors = hosts.iter().any(|known| match known.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => host == *known,
    });
    match (vendors, url.scheme()) {
        (true, "https") => Ok(()),
        (true, _) => Err(format!("must be called by https on {host}")),
        (false, _) if egress.opens(url) => Ok(()),
        (false, _) => Err(format!(
            "must be on {}, or at an address in egress.allow",
            hosts.join(" or ")
        )),
    }
}

fn warnings<P: Provider>(schemas: &Schemas, config: Value, credentials: Value) -> Vec<FieldError> {
    prepare::<P>(schemas, config, credentials)
        .map(|prepared| P::warnings(&prepared))
        .unwrap_or_default()
}

fn open<P: Provider>(
    schemas: &Schemas,
    config: Value,
    credentials: Value,
    about: About,
    texts: Option<Texts>,
) -> Checked<AnyBox> {
    let secrets = secrets(schemas, &config, &credentials);
    let prepared = prepare::<P>(schemas, config, credentials)?;
    none_of(P::misplaced(&prepared, &about.org))?;
    let redactor = Redactor::with_auth(&secrets, P::auth(&prepared));
    Ok(Box::new(Target::<P> {
        about,
        prepared,
        texts,
        redactor,
    }))
}

fn prepare<P: Provider>(schemas: &Schemas, config: Value, credentials: Value) -> Checked<P::Prepared> {
    let config = read::<P::Config>("config", &schemas.config, config);
    let credentials = read::<P::Credentials>("credentials", &schemas.credentials, credentials);
    match (config, credentials) {
        (Ok(config), Ok(credentials)) => P::prepare(config, credentials),
        (config, credentials) => Err(config.err().into_iter().chain(credentials.err()).collect()),
    }
}

fn secrets(schemas: &Schemas, config: &Value, credentials: &Value) -> Vec<String> {
    let mut found = Vec::new();
    secret::texts(&schemas.config, config, &mut found);
    secret::texts(&schemas.credentials, credentials, &mut found);
    found
}

fn retry_count<P: Provider>(config: &Value) -> Option<u32> {
    P::retry_count(&P::Config::deserialize(config).ok()?)
}

/// Reads a document, or says which field of it does not fit.
fn read<T: DeserializeOwned>(part: &str, schema: &Value, value: Value) -> Result<T, FieldError> {
    let value = if value.is_null() {
        Value::Object(Map::new())
    } else {
        value
    };
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path: Vec<String> = error.path().iter().filter_map(segment).collect();
        misfit(part, schema, path, &error.inner().to_string())
    })
}

/// Puts a message of `serde` in our words. It quotes the value that it met, which may be a secret,
/// so only what was expected is taken from it.
fn misfit(part: &str, schema: &Value, mut path: Vec<String>, text: &str) -> FieldError {
    let quoted = text.split('`').nth(1).unwrap_or_default();
    let message = if text.starts_with("missing field `") {
        path.push(quoted.to_owned());
        "is missing".to_owned()
    } else if text.starts_with("unknown field `") {
        if path.last().is_none_or(|last| last != quoted) {
            path.push(quoted.to_owned());
        }
        match schema.get("properties").and_then(Value::as_object) {
            Some(known) if path.len() == 1 => {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                format!("is not a field here: there are {}", known.join(", "))
            }
            _ => "is not a field here".to_owned(),
        }
    } else {
        match text.rsplit_once(", expected ") {
            Some((_, expected)) => format!("does not fit: expected {expected}"),
            None => text.to_owned(),
        }
    };
    path.insert(0, part.to_owned());
    FieldError::new(path.join("/"), message)
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<String> {
    match segment {
        serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => None,
    }
}

#[cfg(test)]
mod tests;
