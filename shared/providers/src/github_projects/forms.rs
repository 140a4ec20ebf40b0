//! The forms of GitHub's answers, as far as they are read.

use serde::Deserialize;
use signalbox_proto::Timestamp;

/// A project, with the field of the status.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Project {
    pub(super) id: String,
    #[serde(default)]
    pub(super) viewer_can_update: bool,
    #[serde(default)]
    pub(super) field: Option<Field>,
}

/// A field; without an id it is of another type.
#[derive(Debug, Deserialize)]
pub(super) struct Field {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) options: Vec<SelectOption>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SelectOption {
    pub(super) id: String,
    pub(super) name: String,
}

/// An organization or a user: of one name there is but one of them.
#[derive(Deserialize)]
pub(super) struct Owners {
    #[serde(default)]
    pub(super) organization: Option<Owner>,
    #[serde(default)]
    pub(super) user: Option<Owner>,
}

#[derive(Deserialize)]
pub(super) struct Owner {
    #[serde(rename = "projectV2")]
    pub(super) project: Option<Project>,
}

#[derive(Deserialize)]
pub(super) struct Id {
    pub(super) id: String,
}

/// What was added, by either of two mutations.
#[derive(Deserialize)]
pub(super) struct Added {
    #[serde(alias = "addProjectV2DraftIssue", alias = "addProjectV2ItemById")]
    pub(super) payload: AddedItem,
}

#[derive(Deserialize)]
pub(super) struct AddedItem {
    #[serde(alias = "projectItem")]
    pub(super) item: Id,
}

/// What was changed, by either of two mutations.
#[derive(Deserialize)]
pub(super) struct Changed {
    #[serde(alias = "updateProjectV2ItemFieldValue", alias = "updateProjectV2DraftIssue")]
    pub(super) payload: ChangedThing,
}

#[derive(Deserialize)]
pub(super) struct ChangedThing {
    #[serde(alias = "projectV2Item", alias = "draftIssue")]
    pub(super) thing: Id,
}

/// What was told, read without its errors.
#[derive(Deserialize)]
pub(super) struct Told<T> {
    pub(super) data: T,
}

/// An answer in GitHub's other form.
#[derive(Deserialize)]
pub(super) struct Said {
    pub(super) message: String,
}

/// A node that was asked for by its id.
#[derive(Deserialize)]
pub(super) struct Node<T> {
    pub(super) node: T,
}

/// An item, as far as it was asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    #[serde(default)]
    pub(super) is_archived: bool,
    /// The project in which it is.
    #[serde(default)]
    pub(super) project: Option<Id>,
    #[serde(default)]
    pub(super) content: Option<Content>,
}

/// An issue or a pull request has nothing of this.
#[derive(Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) body: Option<String>,
}

impl Item {
    /// Whether it is in another project than this.
    pub(super) fn is_elsewhere(&self, project: &str) -> bool {
        self.project.as_ref().is_some_and(|of| of.id != project)
    }
}

/// What an item is.
#[derive(Debug)]
pub(super) enum Is {
    /// A draft with a text.
    Draft(Draft),
    /// An issue or a pull request.
    Content,
    /// Of another project.
    Elsewhere,
}

/// A draft with its text.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: String,
    pub(super) body: String,
}

/// Items of a project.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) viewer: Login,
    pub(super) node: Listed,
}

#[derive(Deserialize)]
pub(super) struct Login {
    pub(super) login: String,
}

#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) items: Items,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Items {
    pub(super) page_info: PageInfo,
    pub(super) nodes: Vec<Option<ListedItem>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageInfo {
    pub(super) has_previous_page: bool,
    #[serde(default)]
    pub(super) start_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedItem {
    pub(super) id: String,
    pub(super) created_at: Timestamp,
    #[serde(default)]
    pub(super) creator: Option<Login>,
    #[serde(default)]
    pub(super) content: Option<Content>,
}

impl Page {
    /// The ids of drafts that we have made between these times, the last first.
    pub(super) fn drafts(&self, first: Timestamp, last: Timestamp) -> impl Iterator<Item = &str> {
        let is_ours = move |item: &&ListedItem| {
            let is_draft = item.content.as_ref().is_some_and(|content| content.id.is_some());
            let by_us = item
                .creator
                .as_ref()
                .is_none_or(|creator| is_same_login(&creator.login, &self.viewer.login));
            is_draft && by_us && (first..=last).contains(&item.created_at)
        };
        self.node
            .items
            .nodes
            .iter()
            .rev()
            .flatten()
            .filter(is_ours)
            .map(|item| &*item.id)
    }

    /// The cursor of the page before.
    pub(super) fn before(&self) -> Option<String> {
        let info = &self.node.items.page_info;
        info.start_cursor.clone().filter(|_| info.has_previous_page)
    }
}

/// An app has `[bot]` behind its name, or has it not.
fn is_same_login(one: &str, other: &str) -> bool {
    one.trim_end_matches("[bot]")
        .eq_ignore_ascii_case(other.trim_end_matches("[bot]"))
}
