//! What a provider is: pure functions from a delivery to requests, and from answers to an outcome.

use std::{sync::Arc, time::Duration};

use ::http::HeaderMap;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use signalbox_proto::{Delivery, Name, Outcome, Timestamp, integration::RateLimit};
use url::Url;

use crate::{
    FieldError, classify,
    count::Count,
    http, mail, nats, objects,
    redact::Redactor,
    template::{Takes, Texts},
    things::Keeps,
};

/// One kind of target. Implementations hold no state and do no I/O: they turn a delivery into
/// a request, and a response into an outcome.
pub trait Provider: Sized + Send + Sync + 'static {
    /// What an operator fills in. Derive `Deserialize` with `deny_unknown_fields`; the schema draws
    /// the form, and a field of type [`crate::Secret`] is sealed and masked.
    type Config: DeserializeOwned + JsonSchema;
    /// What proves who we are. An empty object where nothing was given.
    type Credentials: DeserializeOwned + JsonSchema;
    /// What is worked out once for an integration and used by each of its requests: the parsed
    /// address, headers, decoded keys.
    type Prepared: Send + Sync;
    /// Names the folder, the subject token and the `provider` tag.
    const NAME: &'static str;
    /// One sentence for lists and forms.
    const DESCRIPTION: &'static str;
    /// The vendor's own page about what is called.
    const DOCS: &'static str;
    /// What sort of target it is.
    const KIND: Kind;
    /// What `config.action` may name; none where there is but one thing to do.
    const ACTIONS: &'static [&'static str] = &[];
    /// What it bears where an integration says nothing.
    const LIMITS: Limits;
    /// Which texts of an owner's template its requests hold, and in which markup.
    const TEMPLATE: Takes = Takes::NOTHING;

    /// Checks what the types of the fields cannot say, all of it, and works out what requests need.
    fn prepare(config: Self::Config, credentials: Self::Credentials) -> Result<Self::Prepared, Vec<FieldError>>;

    /// The addresses that requests go to, with the fields they come from; egress rules judge them.
    fn urls(prepared: &Self::Prepared) -> Vec<(&'static str, &Url)>;

    /// The vendor's own hosts for the address in this field, `*.` before a name for all below it; none where the
    /// field may name any host. On them https is asked for; another host must lie in `egress.allow`.
    fn hosts(_pointer: &str) -> &'static [&'static str] {
        &[]
    }

    /// What requests prove us with where it is made of secrets and is none of them itself, as HTTP Basic makes one of
    /// user and password: a target may repeat it, and then it is redacted as they are.
    fn auth(_prepared: &Self::Prepared) -> &http::Auth {
        &http::Auth::None
    }

    /// What is wrong with it in this org, where that depends on the org.
    fn misplaced(_prepared: &Self::Prepared, _org: &Name) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is no error and still not as its owner may think, such as a field without an effect.
    fn warnings(_prepared: &Self::Prepared) -> Vec<FieldError> {
        Vec::new()
    }

    /// How many steps of the retry schedule to keep, for a provider whose config has that field.
    fn retry_count(_config: &Self::Config) -> Option<u32> {
        None
    }

    /// How it delivers where its target keeps things: then nobody asks [`Self::next`] while delivering.
    const KEEPS: Option<Keeps<Self>> = None;

    /// What the target might answer where it takes a request: for previews, and the suites over all providers. One that
    /// [`Self::KEEPS`] things reads ids out of answers, and says here what they look like.
    fn made_up(_target: &Target<Self>, _request: &Request) -> http::Response {
        plain_yes()
    }

    /// The next request, or the end; `now` is when the attempt began, the same for all its requests. Most providers send
    /// one request: they write `request` and `classify`, and this default joins them.
    fn next(target: &Target<Self>, delivery: &Delivery, text: &Text, so_far: &[Exchange], now: Timestamp) -> Step {
        match so_far.last() {
            None => Step::Send(Self::request(target, delivery, text, now)),
            Some(exchange) => Step::Done(Self::classify(&exchange.response, now)),
        }
    }

    /// The request that delivers. `text` is what the owner's template made of the delivery; `now` is the
    /// time of this attempt.
    fn request(target: &Target<Self>, delivery: &Delivery, text: &Text, now: Timestamp) -> Request;

    /// What the answer means. `now` is when it came, or when its attempt began.
    fn classify(response: &http::Response, now: Timestamp) -> Outcome {
        classify::by_status(response, now)
    }

    /// The lightest request that proves the credentials work and leaves nothing behind, if any.
    /// Without one, a test sends an event of type `integration.test`.
    fn probe(target: &Target<Self>, now: Timestamp) -> Option<Request>;
}

/// A yes that says nothing else.
pub(crate) fn plain_yes() -> http::Response {
    http::Response {
        status: 200,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        truncated: false,
    }
}

/// One integration, ready to be delivered to.
#[derive(Debug)]
pub struct Target<P: Provider> {
    /// Which integration it is.
    pub about: About,
    /// What the provider worked out from config and credentials.
    pub prepared: P::Prepared,
    /// What its owner's template says instead of the provider; rendered before the provider is asked.
    pub(crate) texts: Option<Texts>,
    /// What its answers may repeat and nobody may see.
    pub(crate) redactor: Redactor,
}

/// What an owner's template made of a delivery, in the target's own markup. Empty where there is no template:
/// then the provider's own form is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Instead of the provider's title: one line.
    pub title: Option<String>,
    /// Instead of what follows the title.
    pub body: Option<String>,
}

/// Which integration a target belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The integration's id.
    pub integration: String,
    /// The integration's name.
    pub name: Name,
    /// The tenant.
    pub org: Name,
    /// The name of this installation, shown in footers and before titles.
    pub brand: Arc<str>,
    /// Total time that one request may take: 1–60 s.
    pub timeout: Duration,
}

/// What an operator says of this installation that concerns all targets.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Where targets may be.
    pub egress: http::Egress,
    /// The name shown in footers and before titles.
    pub brand: Arc<str>,
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The answer; that of a NATS server in the form that [`nats::Client`] describes, that of a mail server in that of
    /// [`mail::Client`], that of a store as [`objects::Request`] does.
    pub response: http::Response,
}

/// What the worker is to send. One variant for each guarded transport.
#[derive(Debug)]
pub enum Request {
    /// Through [`http::Client`].
    Http(http::Request),
    /// Through [`nats::Client`].
    Nats(nats::Request),
    /// Through [`objects::Client`]. Its answer is that of the store over HTTP.
    Object(objects::Request),
    /// Through [`mail::Client`].
    Mail(mail::Request),
    /// To be counted; then the totals go through [`http::Client`]. Its answer is that of the push.
    Count(Count),
}

/// What comes next in a delivery.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a step is made once a request and used at once: a box would cost more"
)]
pub enum Step {
    /// Send this, and ask again with the answer.
    Send(Request),
    /// This is the outcome.
    Done(Outcome),
}

/// What sort of target a provider is: an integration's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Tells people.
    Notification,
    /// Keeps issues.
    Ticketing,
    /// Builds and deploys.
    CiCd,
    /// Draws and alerts.
    Observability,
    /// Keeps objects.
    Storage,
    /// Takes events as they are.
    Webhook,
}

impl Kind {
    /// The word in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Ticketing => "ticketing",
            Self::CiCd => "ci_cd",
            Self::Observability => "observability",
            Self::Storage => "storage",
            Self::Webhook => "webhook",
        }
    }
}

/// What a provider bears where an integration says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Requests a minute; `None` is unlimited.
    pub per_minute: Option<u32>,
}

impl Limits {
    /// As an integration says it.
    pub fn rate_limit(self) -> RateLimit {
        RateLimit {
            per_minute: self.per_minute,
            ..RateLimit::default()
        }
    }
}
