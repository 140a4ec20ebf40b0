//! Pages of lists.

use std::borrow::Cow;

use serde::Serialize;
use signalbox_proto::Timestamp;
use signalbox_store::history as store;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Object, ObjectBuilder, Ref, RefOr, Schema, Type,
        schema::{ArrayBuilder, SchemaType},
    },
};

use crate::schema;

/// A page.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// What to ask for the next page with; none on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// A page of history.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryList<T> {
    pub(crate) items: Vec<T>,
    /// As in [`List`].
    pub(crate) next_cursor: Option<String>,
    /// Whether a bound was met, or a stream or the database did not answer, so that others may exist.
    pub(crate) truncated: bool,
    /// Whether the database was read.
    pub(crate) recorded: bool,
    /// What to know of an answer without the database.
    pub(crate) hint: Option<&'static str>,
    /// What was lost of the time that the page covers.
    pub(crate) gaps: Vec<Gap>,
}

/// A time of which records were lost: a stream let go of them before they were written into the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = HistoryGap)]
pub(crate) struct Gap {
    /// `OUTCOMES` tells of attempts, `DEAD` of dead letters
    pub(crate) stream: String,
    /// Nothing is missing before
    #[schema(value_type = schema::Time)]
    pub(crate) since: Timestamp,
    /// Nothing is missing after
    #[schema(value_type = schema::Time)]
    pub(crate) until: Timestamp,
    /// How many messages are missing; one of OUTCOMES has up to 64 records
    pub(crate) messages: u64,
}

impl From<store::Gap> for Gap {
    fn from(gap: store::Gap) -> Self {
        Self {
            messages: gap.last_seq.saturating_sub(gap.first_seq).saturating_add(1),
            stream: gap.stream,
            since: gap.since,
            until: gap.until,
        }
    }
}

/// What both have.
fn page<T: ToSchema>() -> ObjectBuilder {
    let cursor = Object::builder()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("What to ask for the next page with; null on the last one"));
    ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(Ref::from_schema_name(T::name())))
        .required("items")
        .property("next_cursor", cursor)
        .required("next_cursor")
}

fn items<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

impl<T: ToSchema> PartialSchema for List<T> {
    fn schema() -> RefOr<Schema> {
        page::<T>().description(Some("A page")).into()
    }
}

impl<T: ToSchema> ToSchema for List<T> {
    fn name() -> Cow<'static, str> {
        format!("ListOf{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        items::<T>(schemas);
    }
}

impl<T: ToSchema> PartialSchema for HistoryList<T> {
    fn schema() -> RefOr<Schema> {
        let truncated = Object::builder().schema_type(Type::Boolean).description(Some(
            "Whether a bound was met, or a stream or the database did not answer, so that others may exist",
        ));
        let recorded = Object::builder().schema_type(Type::Boolean).description(Some(
            "Whether the database was read; without it this is what the streams still hold",
        ));
        let hint = Object::builder()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("What to know of an answer without the database"));
        let gaps = ArrayBuilder::new()
            .items(Ref::from_schema_name(Gap::name()))
            .description(Some("Times that the page covers of which records were lost"));
        page::<T>()
            .property("truncated", truncated)
            .required("truncated")
            .property("recorded", recorded)
            .required("recorded")
            .property("hint", hint)
            .required("hint")
            .property("gaps", gaps)
            .required("gaps")
            .description(Some("A page of history"))
            .into()
    }
}

impl<T: ToSchema> ToSchema for HistoryList<T> {
    fn name() -> Cow<'static, str> {
        format!("HistoryListOf{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        items::<T>(schemas);
        items::<Gap>(schemas);
    }
}
