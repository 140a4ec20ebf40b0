//! A pipeline for each delivery, with variables that say what it is for.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use signalbox_proto::{Delivery, Timestamp};

use super::{Credentials, Gitlab, Prepared, TOKEN, answers};
use crate::{
    FieldError, Secret, Target,
    build::Told,
    fields,
    http::{self, Response},
    mended,
    once::{self, CLOCKS, Making, Seen, listed},
    things::{Known, Lesson, Move},
};

/// The fact that it becomes: its id.
const PIPELINE: &str = "pipeline";
/// Its address beside that.
const URL: &str = "pipeline_url";
/// The variable that tells ours from others.
const MARK: &str = "SIGNALBOX_DELIVERY";
/// All values of the variables together, in bytes: what a runner can hand to a program in one variable, and room.
const VALUES_BYTES_MAX: usize = 100_000;
/// Longest branch or tag, in characters.
const REF_CHARS_MAX: usize = 255;
/// The sign, in a text of JSON.
const DOLLAR: &str = "\\u0024";
/// The branch that a pipeline runs for where the config names none.
const MAIN: &str = "main";
/// GitLab ends a request after 60 seconds; then what it made is listed.
pub(super) const LAG: Duration = Duration::from_secs(90);
/// Most pipelines that one look reads.
const PAGE: usize = 50;

/// A branch whose pipeline runs, and by which way.
pub(super) struct Pipeline {
    git_ref: String,
    trigger_token: Option<Secret>,
    /// Whether there is a token that can look.
    reads: bool,
}

/// What is sent with a trigger token.
#[derive(Serialize)]
struct Trigger<'a> {
    token: &'a str,
    #[serde(rename = "ref")]
    git_ref: &'a str,
    variables: BTreeMap<&'static str, &'a str>,
}

/// What is sent with an access token.
#[derive(Serialize)]
struct Create<'a> {
    #[serde(rename = "ref")]
    git_ref: &'a str,
    variables: Vec<Variable<'a>>,
}

#[derive(Serialize)]
struct Variable<'a> {
    key: &'static str,
    value: &'a str,
}

/// What is answered, and what a list holds, as far as it was read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Made {
    id: Option<u64>,
    web_url: Option<String>,
    #[serde(deserialize_with = "listed::when")]
    created_at: Option<Timestamp>,
}

/// A variable of a pipeline, as far as it was read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown {
    key: Option<String>,
    value: Option<String>,
}

impl Pipeline {
    pub(super) fn of(git_ref: Option<&str>, credentials: &Credentials) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let git_ref = fields::line("config/ref", git_ref.unwrap_or(MAIN), REF_CHARS_MAX);
        let git_ref = fields::keep(git_ref, &mut errors);
        let trigger_token = credentials.trigger_token.as_ref().map(|token| token.expose().trim());
        if trigger_token.is_some_and(str::is_empty) {
            errors.push(FieldError::new("credentials/trigger_token", "is empty"));
        }
        if trigger_token.is_none() && credentials.token.is_none() {
            errors.push(FieldError::new(
                "credentials/token",
                "is missing: give an access token, or trigger_token",
            ));
        }
        match git_ref {
            Some(git_ref) if errors.is_empty() => Ok(Self {
                git_ref,
                trigger_token: trigger_token.map(Secret::from),
                reads: credentials.token.is_some(),
            }),
            _ => Err(errors),
        }
    }

    /// Where GitLab says that such a pipeline came from.
    const fn source(&self) -> &'static str {
        match self.trigger_token {
            Some(_) => "trigger",
            None => "api",
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("git_ref", &self.git_ref)
            .field("source", &self.source())
            .finish_non_exhaustive()
    }
}

impl Made {
    fn lessons(&self) -> Option<Vec<Lesson>> {
        let fact = Lesson::Fact(PIPELINE.into(), self.id?.to_string());
        Some(
            [fact]
                .into_iter()
                .chain(once::address(URL, self.web_url.as_deref()))
                .collect(),
        )
    }
}

pub(super) fn request(target: &Target<Gitlab>, pipeline: &Pipeline, delivery: &Delivery) -> http::Request {
    let mut told = Told::of(delivery, &target.about, VALUES_BYTES_MAX);
    let mut payload = unexpanded(&told);
    if payload.len() > VALUES_BYTES_MAX {
        told = Told::of(delivery, &target.about, VALUES_BYTES_MAX / DOLLAR.len());
        payload = unexpanded(&told);
    }
    let agent_id = told.agent_id.replace('$', "$$");
    let variables = [
        (MARK, &*delivery.id),
        ("SIGNALBOX_EVENT_TYPE", told.event_type),
        ("SIGNALBOX_AGENT_ID", &*agent_id),
        ("SIGNALBOX_PAYLOAD", &*payload),
    ];
    let (prepared, git_ref) = (&target.prepared, &*pipeline.git_ref);
    match &pipeline.trigger_token {
        Some(token) => {
            let trigger = Trigger {
                token: token.expose(),
                git_ref,
                variables: variables.into(),
            };
            let mut request = prepared.post(&["trigger", "pipeline"], &trigger);
            // Beside a trigger token the other one only looks.
            request.headers.remove(TOKEN);
            request
        }
        None => {
            let variables = variables.map(|(key, value)| Variable { key, value }).into();
            prepared.post(&["pipeline"], &Create { git_ref, variables })
        }
    }
}

/// JSON in which nothing is put in the place of `$NAME`, as GitLab does with other variables, secret ones too. JSON has another
/// way to write the sign; elsewhere it is written twice.
fn unexpanded(told: &Told<'_>) -> String {
    told.payload.replace('$', DOLLAR)
}

/// What is learnt of a pipeline from the answer to its creation.
pub(super) fn told(response: &Response) -> Option<Vec<Lesson>> {
    mended::object::<Made>(response)?.lessons()
}

pub(super) fn go_on(
    target: &Target<Gitlab>,
    pipeline: &Pipeline,
    delivery: &Delivery,
    known: &Known<'_>,
    now: Timestamp,
) -> Move {
    let making = Making {
        name: PIPELINE,
        delivery,
        known,
        now,
        timeout: target.about.timeout,
        lag: LAG,
    };
    making.go_on(
        || Ok(request(target, pipeline, delivery)),
        |response| answers::learnt(response, told, now),
        |since| find(&target.prepared, pipeline, delivery, known, since, now),
    )
}

/// Looks through the pipelines of this branch and way that were created since, and reads the variables of each.
fn find(
    prepared: &Prepared,
    pipeline: &Pipeline,
    delivery: &Delivery,
    known: &Known<'_>,
    since: Timestamp,
    now: Timestamp,
) -> Seen {
    const LIST: &str = "pipelines";
    if !pipeline.reads {
        return Seen::Unclear("a trigger token lets nobody read pipelines; give a token beside it");
    }
    let oldest = since - CLOCKS;
    let Some(response) = known.answer(LIST) else {
        let (updated_after, size) = (listed::time(oldest), PAGE.to_string());
        // The list knows it by its short name alone.
        let full = ["refs/heads/", "refs/tags/"];
        let short = full.iter().find_map(|begin| pipeline.git_ref.strip_prefix(begin));
        let query = [
            ("ref", short.unwrap_or(&pipeline.git_ref)),
            ("source", pipeline.source()),
            ("updated_after", &*updated_after),
            ("order_by", "id"),
            ("sort", "desc"),
            ("per_page", &*size),
        ];
        return Seen::Ask(LIST.into(), Box::new(prepared.get(&["pipelines"], &query)));
    };
    if response.status != 200 {
        return Seen::End(answers::refusal(response, now));
    }
    let Some(list) = mended::list::<Made>(response) else {
        return Seen::End(listed::strange());
    };
    let is_young = |made: &&Made| made.created_at.is_none_or(|at| at >= oldest);
    let young: Vec<&Made> = list.items.iter().take_while(is_young).collect();
    for made in &young {
        let Some(id) = made.id else { continue };
        let name = format!("variables of {id}");
        let Some(response) = known.answer(&name) else {
            let request = prepared.get(&["pipelines", &id.to_string(), "variables"], &[]);
            return Seen::Ask(name.into(), Box::new(request));
        };
        match response.status {
            200 => {}
            401 | 403 => return Seen::Unclear("the token may not read the variables of pipelines"),
            // Somebody has removed it.
            404 => continue,
            _ => return Seen::End(answers::refusal(response, now)),
        }
        let Some(variables) = mended::list::<Shown>(response) else {
            return Seen::End(listed::strange());
        };
        let is_mark = |shown: &Shown| shown.key.as_deref() == Some(MARK) && shown.value.as_ref() == Some(&delivery.id);
        if variables.items.iter().any(is_mark)
            && let Some(lessons) = made.lessons()
        {
            return Seen::Found(lessons);
        }
        if variables.cut && !variables.items.iter().any(|shown| shown.key.as_deref() == Some(MARK)) {
            return Seen::Unclear("a pipeline has more variables than can be read");
        }
    }
    // Of those that are older the list shows at least one, or it ends.
    let is_whole = young.len() < list.items.len() || (list.items.len() < PAGE && !list.cut);
    match is_whole {
        true => Seen::Absent,
        false => Seen::Unclear("too many pipelines were made since then to look through"),
    }
}
