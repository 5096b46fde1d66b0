//! The declaration of an endpoint: everything that routing, authorisation, validation, limits, audit, the error envelope
//! and the OpenAPI document know about it stands here, once.
//!
//! ```ignore
//! pub fn endpoints() -> Vec<Endpoint> {
//!     vec![
//!         get("/api/v1/pools", "pools.list", "List pools").needs(Resource::Pools).cached().answers(list),
//!         post("/api/v1/pools", "pools.create", "Create a pool").needs(Resource::Pools).takes(create),
//!         delete("/api/v1/pools/{id}", "pools.delete", "Delete a pool").needs(Resource::Pools).answers(remove),
//!     ]
//! }
//! fn list(call: &Call) -> Result<Json<PoolList>, ApiError> { .. }
//! fn create(call: &Call, new: NewPool) -> Result<Created<PoolBody>, ApiError> { .. }
//! ```
//! Handlers are plain functions and may block: they run on threads of their own. Body types derive `Deserialize` (with
//! `deny_unknown_fields`) and `JsonSchema`, reply types `Serialize` and `JsonSchema`.

use std::sync::Arc;

use hyper::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::call::{Answer, AnswerSpec, Call, Reply};
use super::error::{ApiError, Code};
use crate::access::{Level, Resource};

/// Which of the API documents an endpoint belongs to; it decides the shape of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Surface {
    /// The tape document, and what is ours beside it: `{"error":{"code","message"}}`.
    #[default]
    Tape,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Anybody.
    Nobody,
    /// Whoever is signed in.
    SignedIn,
    /// Whose role has this level on this resource.
    Level(Resource, Level),
}

/// Which rate limit counts a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Signing in and what is like it.
    Authentication,
    /// Reading.
    Read,
    /// Changing.
    Write,
    /// Not counted: health checks, event streams.
    Not,
}

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The function behind an endpoint. It may block.
pub type Run = Arc<dyn Fn(&Call) -> Result<Reply, ApiError> + Send + Sync>;

/// One endpoint.
#[derive(Clone)]
pub struct Endpoint {
    /// Method.
    pub method: Method,
    /// Path with `{name}` for parameters; `{id}` and names that end in `_id` are integers.
    pub path: &'static str,
    /// `resource.verb`: operation id, and the action in the audit log.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Document.
    pub surface: Surface,
    /// Who may call.
    pub need: Need,
    /// Rate limit.
    pub counted: Counted,
    /// One of the operations of which only a few may run at once.
    pub long: bool,
    /// Whether calls stand in the audit log.
    pub audited: bool,
    /// The answer depends on the catalog and the query alone, and is kept until the catalog changes.
    pub cached: bool,
    /// Query parameters.
    pub query: Option<SchemaOf>,
    /// Body.
    pub body: Option<SchemaOf>,
    /// Answer when all is well.
    pub answer: AnswerSpec,
    /// Its path parameters are text, whatever their names.
    pub text_parameters: bool,
    /// Errors beyond those that every endpoint of its kind has.
    pub errors: Vec<Code>,
    /// What answers.
    pub run: Run,
}

/// An endpoint that lacks only its function.
#[derive(Debug, Clone)]
pub struct Draft {
    method: Method,
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    need: Need,
    counted: Counted,
    long: bool,
    audited: bool,
    cached: bool,
    text_parameters: bool,
    errors: Vec<Code>,
}

/// Begins a declaration: reading.
pub fn get(path: &'static str, name: &'static str, summary: &'static str) -> Draft {
    Draft::new(Method::GET, path, name, summary)
}

/// Begins a declaration: making or doing.
pub fn post(path: &'static str, name: &'static str, summary: &'static str) -> Draft {
    Draft::new(Method::POST, path, name, summary)
}

/// Begins a declaration: changing.
pub fn put(path: &'static str, name: &'static str, summary: &'static str) -> Draft {
    Draft::new(Method::PUT, path, name, summary)
}

/// Begins a declaration: removing.
pub fn delete(path: &'static str, name: &'static str, summary: &'static str) -> Draft {
    Draft::new(Method::DELETE, path, name, summary)
}

impl Draft {
    fn new(method: Method, path: &'static str, name: &'static str, summary: &'static str) -> Draft {
        let reads = method == Method::GET;
        Draft {
            need: Need::SignedIn,
            counted: if reads { Counted::Read } else { Counted::Write },
            long: false,
            audited: !reads,
            cached: false,
            text_parameters: false,
            errors: Vec::new(),
            method,
            path,
            name,
            summary,
        }
    }

    /// Needs a level on `resource`: reading for GET, operating for the rest.
    pub fn needs(self, resource: Resource) -> Draft {
        let level = if self.method == Method::GET { Level::Read } else { Level::Operate };
        Draft { need: Need::Level(resource, level), ..self }
    }

    /// Needs this level on `resource`.
    pub fn needs_level(self, resource: Resource, level: Level) -> Draft {
        Draft { need: Need::Level(resource, level), ..self }
    }

    /// Anybody may call.
    pub fn public(self) -> Draft {
        Draft { need: Need::Nobody, ..self }
    }

    /// Counts against another limit.
    pub fn counted(self, counted: Counted) -> Draft {
        Draft { counted, ..self }
    }

    /// One of the operations of which only a few may run at once.
    pub fn long(self) -> Draft {
        Draft { long: true, ..self }
    }

    /// Does not stand in the audit log although it changes something.
    pub fn unaudited(self) -> Draft {
        Draft { audited: false, ..self }
    }

    /// Stands in the audit log although it only reads.
    pub fn audited(self) -> Draft {
        Draft { audited: true, ..self }
    }

    /// The answer depends on the catalog and the query alone.
    pub fn cached(self) -> Draft {
        Draft { cached: true, ..self }
    }

    /// Its path parameters are text although they are called `id`.
    pub fn by_name(self) -> Draft {
        Draft { text_parameters: true, ..self }
    }

    /// A further error that it may answer with.
    pub fn error(mut self, code: Code) -> Draft {
        self.errors.push(code);
        self
    }

    fn endpoint(
        self,
        answer: AnswerSpec,
        query: Option<SchemaOf>,
        body: Option<SchemaOf>,
        run: Run,
    ) -> Endpoint {
        Endpoint {
            method: self.method,
            path: self.path,
            name: self.name,
            summary: self.summary,
            surface: Surface::default(),
            need: self.need,
            counted: self.counted,
            long: self.long,
            audited: self.audited,
            cached: self.cached,
            text_parameters: self.text_parameters,
            query,
            body,
            answer,
            errors: self.errors,
            run,
        }
    }

    /// Answers without query or body.
    pub fn answers<A: Answer + 'static>(self, run: fn(&Call) -> Result<A, ApiError>) -> Endpoint {
        self.endpoint(A::spec(), None, None, Arc::new(move |call| run(call)?.into_reply()))
    }

    /// Answers with a query.
    pub fn asks<Q, A>(self, run: fn(&Call, Q) -> Result<A, ApiError>) -> Endpoint
    where
        Q: DeserializeOwned + JsonSchema + 'static,
        A: Answer + 'static,
    {
        let run: Run = Arc::new(move |call| run(call, call.query()?)?.into_reply());
        self.endpoint(A::spec(), Some(|generator| generator.subschema_for::<Q>()), None, run)
    }

    /// Takes a JSON body. An empty body is an empty object.
    pub fn takes<B, A>(self, run: fn(&Call, B) -> Result<A, ApiError>) -> Endpoint
    where
        B: DeserializeOwned + JsonSchema + 'static,
        A: Answer + 'static,
    {
        let run: Run = Arc::new(move |call| run(call, call.body()?)?.into_reply());
        self.endpoint(A::spec(), None, Some(|generator| generator.subschema_for::<B>()), run)
    }
}

impl Endpoint {
    /// What stands before the dot of its name: the group in the documentation, the resource type in the audit log.
    pub fn group(&self) -> &'static str {
        self.name.split('.').next().unwrap_or(self.name)
    }

    /// Names of the parameters in its path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Whether the path parameter of this name is an integer.
    pub fn is_integer(&self, name: &str) -> bool {
        !self.text_parameters
            && (name == "id" || name == "vmid" || name.ends_with("_id") || name.ends_with("Id"))
    }
}
