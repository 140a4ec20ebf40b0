//! Names of the config, and the ids that Linear has for them: asked for once and remembered; asked for again where Linear
//! refuses what was made of them, as of a label that somebody made anew.

use serde::Deserialize;
use signalbox_proto::{Outcome, Timestamp, hash};

use super::{
    Linear, Prepared, Team, answers,
    documents::{self, AnyOf, Equals, NAMES, Name, SameLetters, TeamFilter},
};
use crate::{
    Request, Target,
    display::text,
    graphql::Nodes,
    http::Response,
    things::{Known, Move},
    tracker::{Job, Names, Renewed, Told, What, is_same},
};

/// States that a reason lists.
const LISTED_MAX: usize = 20;
/// Characters of each name in a reason.
const LISTED_CHARS_MAX: usize = 40;

/// A name of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named<'a> {
    Team,
    Label(&'a str),
    State(&'a str),
}

/// What Linear answers to [`NAMES`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    teams: Nodes<TeamNode>,
    #[serde(default)]
    issue_labels: Option<Nodes<LabelNode>>,
}

/// A team, with its states.
#[derive(Deserialize)]
pub(super) struct TeamNode {
    pub(super) id: String,
    #[serde(default)]
    ancestors: Vec<Id>,
    states: Nodes<StateNode>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct StateNode {
    id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LabelNode {
    id: String,
    name: String,
    #[serde(default)]
    is_group: bool,
    #[serde(default)]
    retired_at: Option<String>,
    #[serde(default)]
    team: Option<Id>,
}

impl TeamNode {
    /// The id of its state of this name.
    pub(super) fn state(&self, name: &str) -> Option<&str> {
        let state = self.states.nodes.iter().find(|state| is_same(&state.name, name));
        state.map(|state| &*state.id)
    }

    /// The names of its states, for a reason.
    fn listed(&self) -> String {
        let all = self.states.nodes.iter().take(LISTED_MAX);
        let all: Vec<String> = all.map(|state| shown(&state.name)).collect();
        all.join(", ")
    }

    /// What is said where an issue was moved to it that is to be in a state which it has not got.
    pub(super) fn lacks(&self, state: &str) -> String {
        format!(
            "the issue is in another team than that of config.team_id, and that team has no state {} as config.state_mappings names \
             it; it has {}. Move the issue back, or add the state there, and replay this",
            shown(state),
            self.listed()
        )
    }
}

impl Named<'_> {
    /// The name under which its id is remembered: another for another team.
    fn token(self, prepared: &Prepared) -> String {
        let (kind, name) = match self {
            Self::Team => ("team", ""),
            Self::Label(name) => ("label", name),
            Self::State(name) => ("state", name),
        };
        let name = name.to_lowercase();
        let team = prepared.team.as_str().to_lowercase();
        format!(
            "{kind}-{}",
            hash::parts([kind.as_bytes(), team.as_bytes(), name.as_bytes()])
        )
    }

    /// What it is called at Linear, in an answer.
    fn id_in(self, answered: &Answered) -> Option<&str> {
        let team = answered.teams.nodes.first()?;
        match self {
            Self::Team => Some(&team.id),
            Self::State(name) => team.state(name),
            Self::Label(name) => {
                let all = answered.issue_labels.iter().flat_map(|labels| &labels.nodes);
                let fits =
                    |label: &&LabelNode| is_same(&label.name, name) && !label.is_group && label.retired_at.is_none();
                // The team's own before those of teams above it, and these before those of the workspace.
                let rank = |label: &LabelNode| match &label.team {
                    Some(of) if of.id == team.id => Some(0),
                    Some(of) if team.ancestors.iter().any(|above| above.id == of.id) => Some(1),
                    Some(_) => None,
                    None => Some(2),
                };
                let ranked = all.filter(fits).filter_map(|label| Some((rank(label)?, &*label.id)));
                ranked.min_by_key(|(rank, _)| *rank).map(|(_, id)| id)
            }
        }
    }
}

/// The remembered id of a name.
pub(super) fn id<'k>(prepared: &Prepared, known: &Known<'k>, name: Named<'_>) -> Option<&'k str> {
    known.names.fact(&name.token(prepared))
}

/// What must come before ids of these names are there; `None` where all are.
pub(super) fn learn(target: &Target<Linear>, wanted: &[Named<'_>], known: &Known<'_>, now: Timestamp) -> Option<Move> {
    let lacks = |place: usize, answer: &Response| without(wanted[place], answer, now);
    names(target, known, now).learn(&tokens(target, wanted), lacks)
}

/// What is to be done where Linear refused the request of this name, which was made of these: the ids may be outdated.
pub(super) fn renew(
    target: &Target<Linear>,
    refused: &str,
    wanted: &[Named<'_>],
    known: &Known<'_>,
    now: Timestamp,
) -> Option<Renewed> {
    let lacks = |place: usize, answer: &Response| without(wanted[place], answer, now);
    names(target, known, now).renew(refused, &tokens(target, wanted), lacks)
}

fn tokens(target: &Target<Linear>, wanted: &[Named<'_>]) -> Vec<String> {
    wanted.iter().map(|name| name.token(&target.prepared)).collect()
}

/// What it means that an answer has no id of this name.
fn without(name: Named<'_>, answer: &Response, now: Timestamp) -> Outcome {
    match answers::named(answer, now) {
        Err(outcome) => outcome,
        Ok(answered) => Outcome::Suspend {
            reason: absent(name, &answered),
            at_once: false,
        },
    }
}

fn names<'a, 'k>(
    target: &'a Target<Linear>,
    known: &'a Known<'k>,
    now: Timestamp,
) -> Names<'a, 'k, impl Fn() -> Request, impl Fn(&Response) -> Result<Told, Outcome>> {
    let tell = move |response: &Response| {
        let answered = answers::named(response, now)?;
        let id_of = |name: Named<'_>| Some((name.token(&target.prepared), name.id_in(&answered)?.to_owned()));
        Ok(all(&target.prepared).filter_map(id_of).collect())
    };
    Names {
        known,
        ask: move || ask(target),
        tell,
    }
}

/// All names of the config.
fn all(prepared: &Prepared) -> impl Iterator<Item = Named<'_>> {
    let labels = prepared.labels.iter().map(|label| Named::Label(label));
    let states = prepared.states.names().map(Named::State);
    [Named::Team].into_iter().chain(labels).chain(states)
}

/// The names that something new needs.
pub(super) fn of<'a>(prepared: &'a Prepared, job: &Job<'_>) -> Vec<Named<'a>> {
    match job.what {
        What::Issue => {
            let labels = prepared.labels.iter().map(|label| Named::Label(label));
            let state = job.status.and_then(|status| prepared.states.of(status));
            let state = state.map(Named::State);
            [Named::Team].into_iter().chain(labels).chain(state).collect()
        }
        What::Subtask(_) => vec![Named::Team],
        What::Comment => Vec::new(),
    }
}

fn shown(name: &str) -> String {
    text::line(name, LISTED_CHARS_MAX).into_owned()
}

fn absent(name: Named<'_>, answered: &Answered) -> String {
    match name {
        Named::Team => answers::NO_TEAM.to_owned(),
        Named::Label(label) => format!(
            "Linear has no label {} for the team: make it there, or take it out of config.labels",
            shown(label)
        ),
        Named::State(state) => format!(
            "the team has no state {} as config.state_mappings names it; it has {}",
            shown(state),
            answered.teams.nodes.first().map(TeamNode::listed).unwrap_or_default()
        ),
    }
}

fn ask(target: &Target<Linear>) -> Request {
    let prepared = &target.prepared;
    let or: Vec<Name<'_>> = prepared
        .labels
        .iter()
        .map(|label| Name {
            name: SameLetters { eq_ignore_case: label },
        })
        .collect();
    let variables = documents::Names {
        team: filter(&prepared.team),
        with_labels: !or.is_empty(),
        labels: AnyOf { or },
    };
    NAMES.request(&prepared.url, &prepared.auth, &variables)
}

/// Asks whether the team can be seen.
pub(super) fn team(target: &Target<Linear>) -> Request {
    let prepared = &target.prepared;
    let variables = documents::Team {
        team: filter(&prepared.team),
    };
    documents::TEAM.request(&prepared.url, &prepared.auth, &variables)
}

fn filter(team: &Team) -> TeamFilter<'_> {
    match team {
        Team::Id(id) => TeamFilter::Id(Equals { eq: id }),
        Team::Key(key) => TeamFilter::Key(SameLetters { eq_ignore_case: key }),
    }
}

/// What Linear might answer, were all names there: for previews and the suites.
pub(super) fn made_up(prepared: &Prepared) -> serde_json::Value {
    let named = |name: &str| serde_json::json!({ "id": hash::parts([name.to_lowercase().as_bytes()]), "name": name });
    let states: Vec<_> = prepared.states.names().map(named).collect();
    let labels: Vec<_> = prepared.labels.iter().map(|label| named(label)).collect();
    serde_json::json!({
        "teams": { "nodes": [{ "id": "00000000-0000-4000-8000-000000000001", "states": { "nodes": states } }] },
        "issueLabels": { "nodes": labels },
    })
}
