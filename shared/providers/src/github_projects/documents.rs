//! What GitHub is asked, and the variables of each.

use serde::Serialize;

use crate::graphql::Operation;

/// The project of an owner, who is an organization or a user, with the field of the status: one of the two is never found.
pub(super) const PROJECT: Operation = Operation {
    name: "SignalboxProject",
    document: "query SignalboxProject($owner: String!, $number: Int!, $field: String!) { \
               organization(login: $owner) { projectV2(number: $number) { ...Project } } \
               user(login: $owner) { projectV2(number: $number) { ...Project } } } \
               fragment Project on ProjectV2 { id viewerCanUpdate field(name: $field) { \
               ... on ProjectV2SingleSelectField { id options { id name } } } }",
};
/// Items of a project by their place, the last first: a new one stands at the end.
pub(super) const ITEMS: Operation = Operation {
    name: "SignalboxItems",
    document: "query SignalboxItems($project: ID!, $before: String) { viewer { login } \
               node(id: $project) { ... on ProjectV2 { items(last: 100, before: $before) { \
               pageInfo { hasPreviousPage startCursor } \
               nodes { id createdAt creator { login } content { ... on DraftIssue { id } } } } } } }",
};
/// One item with its project and the text of its draft.
pub(super) const DRAFT: Operation = Operation {
    name: "SignalboxDraft",
    document: "query SignalboxDraft($id: ID!) { node(id: $id) { ... on ProjectV2Item { id project { id } \
               content { ... on DraftIssue { id body } } } } }",
};
/// Whether an item is there, and where.
pub(super) const ITEM: Operation = Operation {
    name: "SignalboxItem",
    document: "query SignalboxItem($id: ID!) { node(id: $id) { ... on ProjectV2Item { id isArchived project { id } } } }",
};
/// A draft. Asked twice it makes two.
pub(super) const ADD_DRAFT: Operation = Operation {
    name: "SignalboxAddDraft",
    document: "mutation SignalboxAddDraft($input: AddProjectV2DraftIssueInput!) { \
               addProjectV2DraftIssue(input: $input) { projectItem { id } } }",
};
/// An issue or a pull request. Asked twice it answers the item that is there.
pub(super) const ADD: Operation = Operation {
    name: "SignalboxAdd",
    document: "mutation SignalboxAdd($input: AddProjectV2ItemByIdInput!) { \
               addProjectV2ItemById(input: $input) { item { id } } }",
};
/// Sets the status of an item.
pub(super) const SET: Operation = Operation {
    name: "SignalboxSetStatus",
    document: "mutation SignalboxSetStatus($input: UpdateProjectV2ItemFieldValueInput!) { \
               updateProjectV2ItemFieldValue(input: $input) { projectV2Item { id } } }",
};
/// Changes the text of a draft.
pub(super) const EDIT: Operation = Operation {
    name: "SignalboxEditDraft",
    document: "mutation SignalboxEditDraft($input: UpdateProjectV2DraftIssueInput!) { \
               updateProjectV2DraftIssue(input: $input) { draftIssue { id } } }",
};

/// All of them.
#[cfg(test)]
pub(super) const ALL: [Operation; 8] = [PROJECT, ITEMS, DRAFT, ITEM, ADD_DRAFT, ADD, SET, EDIT];

/// Of [`PROJECT`].
#[derive(Serialize)]
pub(super) struct Project<'a> {
    pub(super) owner: &'a str,
    pub(super) number: u32,
    pub(super) field: &'a str,
}

/// Of [`ITEMS`].
#[derive(Serialize)]
pub(super) struct Items<'a> {
    pub(super) project: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<&'a str>,
}

/// Of [`DRAFT`] and [`ITEM`].
#[derive(Serialize)]
pub(super) struct ById<'a> {
    pub(super) id: &'a str,
}

/// Of mutations.
#[derive(Serialize)]
pub(super) struct Input<T> {
    pub(super) input: T,
}

/// Of [`ADD_DRAFT`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddDraft<'a> {
    pub(super) project_id: &'a str,
    pub(super) title: &'a str,
    pub(super) body: &'a str,
}

/// Of [`ADD`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add<'a> {
    pub(super) project_id: &'a str,
    pub(super) content_id: &'a str,
}

/// Of [`SET`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Set<'a> {
    pub(super) project_id: &'a str,
    pub(super) item_id: &'a str,
    pub(super) field_id: &'a str,
    pub(super) value: SelectOption<'a>,
}

/// The value of a field, of which exactly one form may be given.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SelectOption<'a> {
    pub(super) single_select_option_id: &'a str,
}

/// Of [`EDIT`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edit<'a> {
    pub(super) draft_issue_id: &'a str,
    pub(super) body: &'a str,
}
