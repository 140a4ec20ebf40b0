//! One route as the table holds it: what it is called, what it wants, what it answers, and who serves it.

use std::sync::Arc;

use axum::{
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use serde_json::Value;
use signalbox_proto::Scope;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use super::param::{self, Param, Place};
use crate::Shared;

/// What a route is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One org: the key's own, or the one that an admin without an org names (`?org=`, else `default`).
    Org,
    /// As [`Reach::Org`], but an admin without an org who names none means all.
    AnyOrg,
    /// The whole installation: for admins without an org.
    Installation,
}

impl Reach {
    /// Whether the route takes `?org=`.
    pub(crate) const fn takes_org(self) -> bool {
        matches!(self, Self::Org | Self::AnyOrg)
    }
}

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Anyone: it tells nothing of what is inside.
    Anyone,
    /// Who has a key with this scope, as far as the route reaches.
    Key(Scope, Reach),
}

/// What a route leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing. The methods that usually change something have to say so.
    Nothing,
    /// A change, under these names in the audit: first what it is about, then what may come of it besides or instead.
    Change(&'static [&'static str]),
    /// Events, which are their own record.
    Publishes,
    /// Nobody has said it yet. A test refuses it.
    Unsaid,
}

/// A schema with those that it names.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) name: String,
    /// The schema itself and all that it refers to, by name.
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
}

impl Shape {
    pub(crate) fn of<T: ToSchema>() -> Self {
        let name = T::name().into_owned();
        let mut schemas = vec![(name.clone(), T::schema())];
        T::schemas(&mut schemas);
        Self { name, schemas }
    }
}

/// What a route takes in its body.
#[derive(Clone)]
pub(crate) struct Taken {
    /// One of these media types, each with its schema.
    pub(crate) kinds: Vec<(&'static str, Shape)>,
    pub(crate) required: bool,
    pub(crate) example: Value,
}

/// What a route answers with where all is well.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) about: &'static str,
    pub(crate) media: &'static str,
    /// One of these; none for what has no schema.
    pub(crate) shapes: Vec<Shape>,
    /// Whether it carries the tag of a revision, which `If-Match` takes.
    pub(crate) tagged: bool,
}

/// A refusal that not every route has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) about: &'static str,
}

/// One route.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Who,
    /// Unique, for generated clients.
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) about: &'static str,
    pub(crate) params: Vec<Param>,
    pub(crate) body: Option<Taken>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) effect: Effect,
    /// Whether its time is its own: it has bounds that say how much it does, not how long that takes.
    pub(crate) unhurried: bool,
    /// Whether its body may be a whole file.
    pub(crate) large: bool,
    /// Whether it answers while the database does not.
    pub(crate) without_store: bool,
    /// `None` for a route of another role.
    pub(crate) serve: Option<MethodRouter<Arc<Shared>>>,
}

impl Route {
    fn new(method: Method, path: &'static str, id: &'static str) -> Self {
        let effect = match method {
            Method::GET => Effect::Nothing,
            _ => Effect::Unsaid,
        };
        Self {
            method,
            path,
            access: Who::Key(Scope::Admin, Reach::Installation),
            id,
            tag: "",
            summary: "",
            about: "",
            params: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: Vec::new(),
            effect,
            unhurried: false,
            large: false,
            without_store: false,
            serve: None,
        }
    }

    pub(crate) fn get(path: &'static str, id: &'static str) -> Self {
        Self::new(Method::GET, path, id)
    }

    pub(crate) fn post(path: &'static str, id: &'static str) -> Self {
        Self::new(Method::POST, path, id)
    }

    pub(crate) fn put(path: &'static str, id: &'static str) -> Self {
        Self::new(Method::PUT, path, id)
    }

    pub(crate) fn patch(path: &'static str, id: &'static str) -> Self {
        Self::new(Method::PATCH, path, id)
    }

    pub(crate) fn delete(path: &'static str, id: &'static str) -> Self {
        Self::new(Method::DELETE, path, id)
    }

    /// For anyone, without a key.
    pub(crate) fn open(mut self) -> Self {
        self.access = Who::Anyone;
        self
    }

    /// For who has this scope, as far as it reaches.
    pub(crate) fn needs(mut self, scope: Scope, reach: Reach) -> Self {
        self.access = Who::Key(scope, reach);
        self
    }

    /// Its group, its name for people, and what there is to know of it.
    pub(crate) fn says(mut self, tag: &'static str, summary: &'static str, about: &'static str) -> Self {
        (self.tag, self.summary, self.about) = (tag, summary, about);
        self
    }

    /// The part of its path that it leaves open.
    pub(crate) fn names(mut self, name: &'static str, schema: Value, about: &'static str) -> Self {
        self.params.push(Param::new(Place::Path, name, schema, about));
        self
    }

    /// A parameter behind the `?`.
    pub(crate) fn query(mut self, name: &'static str, schema: Value, about: &'static str) -> Self {
        self.params.push(Param::new(Place::Query, name, schema, about));
        self
    }

    /// Several of them.
    pub(crate) fn queries(mut self, params: impl IntoIterator<Item = Param>) -> Self {
        self.params.extend(params);
        self
    }

    /// A header that it reads.
    pub(crate) fn header(mut self, name: &'static str, schema: Value, about: &'static str) -> Self {
        self.params.push(Param::new(Place::Header, name, schema, about));
        self
    }

    /// The JSON body that it takes. An empty body counts as `{}`.
    pub(crate) fn takes<T: ToSchema>(mut self, required: bool, example: Value) -> Self {
        self.body = Some(Taken {
            kinds: vec![("application/json", Shape::of::<T>())],
            required,
            example,
        });
        self
    }

    /// A further media type of its body.
    pub(crate) fn or_takes<T: ToSchema>(mut self, media: &'static str) -> Self {
        if let Some(body) = &mut self.body {
            body.kinds.push((media, Shape::of::<T>()));
        }
        self
    }

    /// A whole file may be in its body.
    pub(crate) fn large(mut self) -> Self {
        self.large = true;
        self
    }

    /// JSON that it answers with.
    pub(crate) fn answers<T: ToSchema>(self, status: u16, about: &'static str) -> Self {
        self.answers_as(status, about, "application/json", vec![Shape::of::<T>()])
    }

    /// Another form of the same answer.
    pub(crate) fn or_answers<T: ToSchema>(mut self) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.shapes.push(Shape::of::<T>());
        }
        self
    }

    /// Something else that it answers with.
    pub(crate) fn answers_as(
        mut self,
        status: u16,
        about: &'static str,
        media: &'static str,
        shapes: Vec<Shape>,
    ) -> Self {
        self.answers.push(Answer {
            status,
            about,
            media,
            shapes,
            tagged: false,
        });
        self
    }

    /// What it answers with last carries an `ETag`.
    pub(crate) fn tagged(mut self) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.tagged = true;
        }
        self
    }

    /// It is done on condition of a revision, where its caller names one.
    pub(crate) fn conditional(self) -> Self {
        self.header("If-Match", param::if_match(), "Do it at this revision alone")
            .refuses(
                412,
                "revision_mismatch",
                "it is at another revision than `If-Match` names",
            )
    }

    /// A refusal of its own.
    pub(crate) fn refuses(mut self, status: u16, code: &'static str, about: &'static str) -> Self {
        self.refusals.push(Refusal { status, code, about });
        self
    }

    /// What it changes, as the audit calls it: every action that an entry of this caller may have.
    pub(crate) fn changes(mut self, actions: &'static [&'static str]) -> Self {
        self.effect = Effect::Change(actions);
        self
    }

    /// It takes events in. The audit tells nothing of it.
    pub(crate) fn publishes(mut self) -> Self {
        self.effect = Effect::Publishes;
        self
    }

    /// It changes nothing, though its method looks as if it did.
    pub(crate) fn changes_nothing(mut self) -> Self {
        self.effect = Effect::Nothing;
        self
    }

    /// It takes the time that it takes.
    pub(crate) fn unhurried(mut self) -> Self {
        self.unhurried = true;
        self
    }

    /// It answers while the database does not: its handler asks whether there is one.
    pub(crate) fn without_store(mut self) -> Self {
        self.without_store = true;
        self
    }

    /// Who serves it.
    pub(crate) fn serves<T: 'static>(mut self, handler: impl Handler<T, Arc<Shared>>) -> Self {
        let method = MethodFilter::try_from(self.method.clone()).expect("the methods above are ordinary ones");
        self.serve = Some(on(method, handler));
        self
    }

    /// The names of its parameters behind the `?`, without `org`.
    pub(crate) fn query_names(&self) -> Arc<[&'static str]> {
        let query = self.params.iter().filter(|param| param.place == Place::Query);
        query.map(|param| param.name).collect()
    }
}
