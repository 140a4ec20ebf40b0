//! Requests held to the schemas that vendors publish themselves.
//!
//! The schemas are not part of this repository: they are read from `../shared/contracts/schemas` beside it. Where that
//! folder is absent the test says so and passes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use signalbox_proto::types::BUILT_IN;

use super::{Case, all, bot_api, hostile, in_turn};
use crate::graphql::sdl::Sdl;

/// What is to hold of a document that a request carries.
pub(crate) struct Claim {
    /// A file of the folder of schemas. One of GraphQL holds whole requests: the document and its variables.
    pub(crate) file: &'static str,
    /// Where the schema stands in it, as a JSON pointer (RFC 6901); empty for the whole.
    pub(crate) pointer: &'static str,
    pub(crate) document: Value,
}

impl Claim {
    /// That a request's body is what this schema describes.
    pub(crate) fn of_body(file: &'static str, pointer: &'static str, body: &[u8]) -> Vec<Self> {
        vec![Self {
            file,
            pointer,
            document: serde_json::from_slice(body).expect("a body of JSON"),
        }]
    }
}

/// The schemas that were read, by file and place.
struct Schemas {
    folder: PathBuf,
    read: BTreeMap<(&'static str, &'static str), Validator>,
    /// Schemas of GraphQL, by file.
    sdl: BTreeMap<&'static str, Sdl>,
}

impl Schemas {
    /// None where the folder is absent.
    fn open() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts/schemas");
        folder.is_dir().then(|| Self {
            folder,
            read: BTreeMap::new(),
            sdl: BTreeMap::new(),
        })
    }

    fn check(&mut self, claim: &Claim) -> Result<(), String> {
        let folder = &self.folder;
        if claim.file.ends_with(".graphql") {
            let sdl = self
                .sdl
                .entry(claim.file)
                .or_insert_with(|| Sdl::read(&folder.join(claim.file)));
            return sdl.check(&claim.document);
        }
        let schema = self.read.entry((claim.file, claim.pointer)).or_insert_with(|| {
            let path = folder.join(claim.file);
            let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let document = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            validator(document, claim.pointer).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        let wrong: Vec<String> = schema
            .iter_errors(&claim.document)
            .take(3)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("; "))
        }
    }
}

/// The schema at a place of a document, with all that it refers to.
fn validator(mut document: Value, pointer: &str) -> Result<Validator, String> {
    document
        .pointer(pointer)
        .ok_or_else(|| format!("has nothing at {pointer}"))?;
    if bot_api::is(&document) {
        document = bot_api::schemas(&document);
    }
    // OpenAPI 3.0 writes its schemas nearly as draft 4 does, 3.1 as 2020-12.
    let version = document["openapi"].as_str().or(document["swagger"].as_str());
    let draft = match version {
        Some(version) if version.starts_with("3.1") => Some(Draft::Draft202012),
        Some(_) => Some(Draft::Draft4),
        None => None,
    };
    if version.is_some() {
        nullable(&mut document);
    }
    if !pointer.is_empty() {
        // As an address has it: paths of an API have their parameters in braces.
        let pointer = pointer.replace('{', "%7B").replace('}', "%7D");
        document["$ref"] = format!("#{pointer}").into();
    }
    let mut options = jsonschema::options().should_validate_formats(false);
    if let Some(draft) = draft {
        options = options.with_draft(draft);
    }
    options.build(&document).map_err(|error| error.to_string())
}

/// `nullable: true` as other schemas say it.
fn nullable(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(nullable),
        Value::Object(members) => {
            if members.get("nullable") == Some(&json!(true))
                && let Some(Value::String(kind)) = members.get("type")
            {
                let kinds = json!([kind, "null"]);
                members.insert("type".to_owned(), kinds);
            }
            members.values_mut().for_each(nullable);
        }
        _ => {}
    }
}

#[test]
fn what_is_sent_is_what_the_vendors_schemas_describe() {
    let Some(mut schemas) = Schemas::open() else {
        eprintln!(
            "SKIPPED: ../shared/contracts/schemas is absent, so that requests are not held to the vendors' schemas"
        );
        return;
    };
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    let mut check = |case: &Case, delivery: &signalbox_proto::Delivery, what: &str| {
        for request in case.requests(&*case.target(), delivery) {
            for claim in (case.sample.claims)(&request) {
                let checked = schemas.check(&claim);
                let place = format!("{}#{}", claim.file, claim.pointer);
                assert_eq!(checked, Ok(()), "{}, {what}, by {place}", case.title());
                *held.entry(place).or_default() += 1;
            }
        }
    };
    let cases = all();
    for case in &cases {
        for built_in in BUILT_IN {
            let event = hostile::event(
                built_in.name,
                &json!({ "message": "It happened", "error": "disk full" }),
            );
            check(case, &hostile::delivery(event, 1), built_in.name);
        }
    }
    for index in 0..hostile::COUNT {
        let delivery = hostile::hostile(index);
        for case in in_turn(&cases, index) {
            check(case, &delivery, &format!("hostile event {index}"));
        }
    }
    eprintln!("requests held to each schema: {held:#?}");
}
