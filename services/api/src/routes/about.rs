//! The document and its page. They say nothing of what is inside, so they need no key.

use super::{Route, Shape};
use crate::{page, schema};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/openapi.json", "getDocument")
            .open()
            .says("about", "This document", "The OpenAPI 3.1 document of this API.")
            .answers::<schema::Fields>(200, "The document")
            .serves(page::document),
        Route::get("/docs", "getPage")
            .open()
            .says(
                "about",
                "The page",
                "The same for people, as one page without anything from elsewhere.",
            )
            .answers_as(200, "The page", "text/html", vec![Shape::of::<String>()])
            .serves(page::page),
    ]
}
