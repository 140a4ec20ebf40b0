//! Project, field and options, and the ids that GitHub has for them.

use signalbox_proto::{Outcome, Timestamp, hash};

use super::{GithubProjects, Prepared, answers, documents, forms::Project};
use crate::{
    Request, Target,
    display::text,
    http::Response,
    things::{Known, Move},
    tracker::{Names, Renewed, Told, is_same},
};

/// Options that a reason lists.
const LISTED_MAX: usize = 20;
/// Characters of each name in a reason.
const LISTED_CHARS_MAX: usize = 40;

/// A name of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named<'a> {
    Project,
    Field,
    Option(&'a str),
}

impl Named<'_> {
    /// The name under which its id is remembered: another for another project.
    fn token(self, prepared: &Prepared) -> String {
        let (kind, field, option) = match self {
            Self::Project => ("project", "", ""),
            Self::Field => ("field", &*prepared.status_field, ""),
            Self::Option(name) => ("option", &*prepared.status_field, name),
        };
        let (owner, number) = (prepared.owner.to_lowercase(), prepared.number.to_string());
        let parts = [kind, &*owner, &*number, &*field.to_lowercase(), &*option.to_lowercase()];
        format!("{kind}-{}", hash::parts(parts.map(str::as_bytes)))
    }

    fn id_in(self, project: &Project) -> Option<&str> {
        let field = project.field.as_ref();
        match self {
            Self::Project => Some(&project.id),
            Self::Field => field?.id.as_deref(),
            Self::Option(name) => {
                let option = field?.options.iter().find(|option| is_same(&option.name, name));
                option.map(|option| &*option.id)
            }
        }
    }
}

/// The remembered id of a name.
pub(super) fn id<'k>(prepared: &Prepared, known: &Known<'k>, name: Named<'_>) -> &'k str {
    known.names.fact(&name.token(prepared)).unwrap_or_default()
}

/// What must come before ids of these names are there; `None` where all are.
pub(super) fn learn(
    target: &Target<GithubProjects>,
    wanted: &[Named<'_>],
    known: &Known<'_>,
    now: Timestamp,
) -> Option<Move> {
    let prepared = &target.prepared;
    let lacks = |place: usize, answer: &Response| without(prepared, wanted[place], answer, now);
    names(target, known, now).learn(&tokens(prepared, wanted), lacks)
}

/// What is to be done where GitHub refused the request of this name, which was made of these: the ids may be outdated.
pub(super) fn renew(
    target: &Target<GithubProjects>,
    refused: &str,
    wanted: &[Named<'_>],
    known: &Known<'_>,
    now: Timestamp,
) -> Option<Renewed> {
    let prepared = &target.prepared;
    let lacks = |place: usize, answer: &Response| without(prepared, wanted[place], answer, now);
    names(target, known, now).renew(refused, &tokens(prepared, wanted), lacks)
}

/// Whether GitHub has said in this attempt that the token may write to the project.
pub(super) fn is_writable(target: &Target<GithubProjects>, known: &Known<'_>, now: Timestamp) -> bool {
    let names = names(target, known, now);
    names
        .answer()
        .is_some_and(|answer| answers::writable(answer, now) == Outcome::Delivered)
}

fn tokens(prepared: &Prepared, wanted: &[Named<'_>]) -> Vec<String> {
    wanted.iter().map(|name| name.token(prepared)).collect()
}

/// What it means that an answer has no id of this name.
fn without(prepared: &Prepared, name: Named<'_>, answer: &Response, now: Timestamp) -> Outcome {
    match answers::project(answer, now) {
        Err(outcome) => outcome,
        Ok(project) => Outcome::Suspend {
            reason: absent(prepared, name, &project),
            at_once: false,
        },
    }
}

fn names<'a, 'k>(
    target: &'a Target<GithubProjects>,
    known: &'a Known<'k>,
    now: Timestamp,
) -> Names<'a, 'k, impl Fn() -> Request, impl Fn(&Response) -> Result<Told, Outcome>> {
    let tell = move |response: &Response| {
        let project = answers::project(response, now)?;
        let options = target.prepared.states.names().map(Named::Option);
        let all = [Named::Project, Named::Field].into_iter().chain(options);
        let id_of = |name: Named<'_>| Some((name.token(&target.prepared), name.id_in(&project)?.to_owned()));
        Ok(all.filter_map(id_of).collect())
    };
    Names {
        known,
        ask: move || ask(target),
        tell,
    }
}

fn absent(prepared: &Prepared, name: Named<'_>, project: &Project) -> String {
    let shown = |name: &str| text::line(name, LISTED_CHARS_MAX).into_owned();
    let field = shown(&prepared.status_field);
    match name {
        Named::Project => answers::NO_PROJECT.to_owned(),
        Named::Option(option) if project.field.as_ref().is_some_and(|field| field.id.is_some()) => {
            let options = project.field.iter().flat_map(|field| &field.options).take(LISTED_MAX);
            let options: Vec<String> = options.map(|option| shown(&option.name)).collect();
            format!(
                "the field {field} of the project has no option {} as config.status_mappings names it; it has {}",
                shown(option),
                options.join(", ")
            )
        }
        Named::Field | Named::Option(_) => {
            format!("the project has no field {field} of single select: check config.status_field")
        }
    }
}

/// Asks for all of them, and whether the project may be written.
pub(super) fn ask(target: &Target<GithubProjects>) -> Request {
    let prepared = &target.prepared;
    let variables = documents::Project {
        owner: &prepared.owner,
        number: prepared.number,
        field: &prepared.status_field,
    };
    documents::PROJECT.request(&prepared.url, &prepared.auth, &variables)
}

/// What GitHub might answer, were all of them there: for previews and the suites.
pub(super) fn made_up(prepared: &Prepared) -> serde_json::Value {
    let option = |name: &str| serde_json::json!({ "id": hash::parts([name.to_lowercase().as_bytes()]), "name": name });
    let options: Vec<_> = prepared.states.names().map(option).collect();
    serde_json::json!({ "organization": { "projectV2": {
        "id": "PVT_1", "viewerCanUpdate": true, "field": { "id": "PVTSSF_1", "options": options },
    } } })
}
