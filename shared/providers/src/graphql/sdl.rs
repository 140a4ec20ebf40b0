//! Requests held to the schema that a vendor publishes in GraphQL's own language: the document, and its variables.

use std::{collections::BTreeMap, fs, path::Path};

use apollo_compiler::{
    ExecutableDocument, Schema, request::coerce_variable_values, response::JsonMap, validation::Valid,
};
use serde_json::Value;

/// A schema, with the documents that were held to it.
pub(crate) struct Sdl {
    schema: Valid<Schema>,
    documents: BTreeMap<String, Valid<ExecutableDocument>>,
}

impl Sdl {
    /// Reads a file. Panics where it is no schema.
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::of(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Reads a schema.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let schema = Schema::parse_and_validate(text, "schema.graphql").map_err(|error| error.to_string())?;
        Ok(Self {
            schema,
            documents: BTreeMap::new(),
        })
    }

    /// Whether a document is one that a server with this schema takes.
    pub(crate) fn validate(&mut self, query: &str) -> Result<(), String> {
        if !self.documents.contains_key(query) {
            let document = ExecutableDocument::parse_and_validate(&self.schema, query, "query.graphql");
            let document = document.map_err(|error| error.to_string())?;
            self.documents.insert(query.to_owned(), document);
        }
        Ok(())
    }

    /// Whether a server with this schema takes a request: its document is valid, has the operation that is named, and the
    /// variables are of its types, none missing and none beside them.
    pub(crate) fn check(&mut self, body: &Value) -> Result<(), String> {
        let query = body["query"].as_str().ok_or("has no query")?;
        self.validate(query)?;
        let operations = &self.documents[query].operations;
        let operation = operations.get(body["operationName"].as_str());
        let operation = operation.map_err(|_| "has no operation of this name".to_owned())?;
        let given: JsonMap = serde_json::from_value(body["variables"].clone()).map_err(|error| error.to_string())?;
        let is_known = |name: &str| operation.variables.iter().any(|variable| variable.name == name);
        if let Some(unknown) = given.keys().find(|name| !is_known(name.as_str())) {
            return Err(format!("${} is no variable of it", unknown.as_str()));
        }
        let coerced = coerce_variable_values(&self.schema, operation, &given);
        coerced.map(|_| ()).map_err(|error| error.message().to_string())
    }
}
