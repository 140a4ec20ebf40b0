//! Pages of lists.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Object, ObjectBuilder, Ref, RefOr, Schema, Type,
        schema::{ArrayBuilder, SchemaType},
    },
};

/// A page.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// What to ask for the next page with; none on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// A page of what one request may not have read in full.
#[derive(Debug, Serialize)]
pub(crate) struct CutList<T> {
    pub(crate) items: Vec<T>,
    /// As in [`List`].
    pub(crate) next_cursor: Option<String>,
    /// Whether a bound was met, or a stream did not answer, so that others may exist.
    pub(crate) truncated: bool,
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

impl<T: ToSchema> PartialSchema for CutList<T> {
    fn schema() -> RefOr<Schema> {
        let truncated = Object::builder().schema_type(Type::Boolean).description(Some(
            "Whether a bound was met, or a stream did not answer, so that others may exist",
        ));
        page::<T>()
            .property("truncated", truncated)
            .required("truncated")
            .description(Some("A page of what one request may not have read in full"))
            .into()
    }
}

impl<T: ToSchema> ToSchema for CutList<T> {
    fn name() -> Cow<'static, str> {
        format!("CutListOf{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        items::<T>(schemas);
    }
}
