//! What Linear is asked, and the variables of each.

use serde::Serialize;

use crate::graphql::Operation;

/// The team of the config, its states, and labels by their names. A team has fewer states, and a name fewer labels, than are
/// asked for.
pub(super) const NAMES: Operation = Operation {
    name: "SignalboxNames",
    document: "query SignalboxNames($team: TeamFilter!, $labels: IssueLabelFilter!, $withLabels: Boolean!) { \
               teams(filter: $team, first: 1) { nodes { id ancestors { id } states(first: 100) { nodes { id name } } } } \
               issueLabels(filter: $labels, first: 250) @include(if: $withLabels) { nodes { id name isGroup retiredAt team { id } } } }",
};
/// Whether the key is taken and the team can be seen.
pub(super) const TEAM: Operation = Operation {
    name: "SignalboxTeam",
    document: "query SignalboxTeam($team: TeamFilter!) { viewer { id } teams(filter: $team, first: 1) { nodes { id } } }",
};
/// The issue of an id, also where it was archived. A list, since an issue that is not there is an error.
pub(super) const FIND_ISSUE: Operation = Operation {
    name: "SignalboxIssue",
    document: "query SignalboxIssue($filter: IssueFilter!) { \
               issues(filter: $filter, first: 1, includeArchived: true) { nodes { id url } } }",
};
/// The same of a comment.
pub(super) const FIND_COMMENT: Operation = Operation {
    name: "SignalboxComment",
    document: "query SignalboxComment($filter: CommentFilter!) { \
               comments(filter: $filter, first: 1, includeArchived: true) { nodes { id url } } }",
};
/// An issue, or a sub-issue.
pub(super) const CREATE: Operation = Operation {
    name: "SignalboxCreate",
    document: "mutation SignalboxCreate($input: IssueCreateInput!) { \
               issueCreate(input: $input) { success issue { id url state { id } parent { id trashed archivedAt } } } }",
};
/// Moves an issue.
pub(super) const MOVE: Operation = Operation {
    name: "SignalboxMove",
    document: "mutation SignalboxMove($id: String!, $input: IssueUpdateInput!) { \
               issueUpdate(id: $id, input: $input) { success issue { id trashed archivedAt state { id } } } }",
};
/// The team in which an issue is now, and the states of that.
pub(super) const PLACE: Operation = Operation {
    name: "SignalboxPlace",
    document: "query SignalboxPlace($filter: IssueFilter!) { \
               issues(filter: $filter, first: 1, includeArchived: true) { nodes { id trashed archivedAt \
               team { id states(first: 100) { nodes { id name } } } } } }",
};
/// A comment.
pub(super) const COMMENT: Operation = Operation {
    name: "SignalboxAddComment",
    document: "mutation SignalboxAddComment($input: CommentCreateInput!) { \
               commentCreate(input: $input) { success comment { id url issue { id trashed archivedAt } } } }",
};
/// A link. The same address again changes the one that is there.
pub(super) const LINK: Operation = Operation {
    name: "SignalboxLink",
    document: "mutation SignalboxLink($input: AttachmentCreateInput!) { \
               attachmentCreate(input: $input) { success attachment { id issue { id trashed archivedAt } } } }",
};

/// All of them.
#[cfg(test)]
pub(super) const ALL: [Operation; 9] = [
    NAMES,
    TEAM,
    FIND_ISSUE,
    FIND_COMMENT,
    CREATE,
    MOVE,
    PLACE,
    COMMENT,
    LINK,
];

/// Of [`NAMES`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Names<'a> {
    pub(super) team: TeamFilter<'a>,
    pub(super) labels: AnyOf<'a>,
    pub(super) with_labels: bool,
}

/// Of [`TEAM`].
#[derive(Serialize)]
pub(super) struct Team<'a> {
    pub(super) team: TeamFilter<'a>,
}

/// The team of an id, or of a key such as `ENG`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TeamFilter<'a> {
    Id(Equals<'a>),
    Key(SameLetters<'a>),
}

/// Labels of any of these names.
#[derive(Serialize)]
pub(super) struct AnyOf<'a> {
    pub(super) or: Vec<Name<'a>>,
}

#[derive(Serialize)]
pub(super) struct Name<'a> {
    pub(super) name: SameLetters<'a>,
}

/// An id.
#[derive(Serialize)]
pub(super) struct Equals<'a> {
    pub(super) eq: &'a str,
}

/// A text in any case.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SameLetters<'a> {
    pub(super) eq_ignore_case: &'a str,
}

/// Of [`FIND_ISSUE`], [`FIND_COMMENT`] and [`PLACE`].
#[derive(Serialize)]
pub(super) struct Find<'a> {
    pub(super) filter: ById<'a>,
}

#[derive(Serialize)]
pub(super) struct ById<'a> {
    pub(super) id: Equals<'a>,
}

/// Of mutations that take all in one.
#[derive(Serialize)]
pub(super) struct Input<T> {
    pub(super) input: T,
}

/// Of [`CREATE`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Issue<'a> {
    pub(super) id: &'a str,
    pub(super) team_id: &'a str,
    pub(super) title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) label_ids: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<u8>,
}

/// Of [`MOVE`].
#[derive(Serialize)]
pub(super) struct Move<'a> {
    pub(super) id: &'a str,
    pub(super) input: To<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct To<'a> {
    pub(super) state_id: &'a str,
}

/// Of [`COMMENT`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comment<'a> {
    pub(super) id: &'a str,
    pub(super) issue_id: &'a str,
    pub(super) body: &'a str,
}

/// Of [`LINK`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link<'a> {
    pub(super) issue_id: &'a str,
    pub(super) url: &'a str,
    pub(super) title: &'a str,
}
