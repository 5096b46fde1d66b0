//! What a handler gets and what it gives back.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::endpoint::SchemaOf;
use super::error::{ApiError, Code};
use crate::access::Principal;

/// One call of an endpoint.
pub struct Call {
    /// The appliance.
    pub api: Api,
    /// Who calls; none where nobody needs to be signed in and nobody is.
    pub principal: Option<Arc<Principal>>,
    /// Where from; the loopback address for the Unix socket.
    pub address: IpAddr,
    /// The request's id.
    pub request_id: String,
    /// Path parameters.
    pub parameters: Vec<(String, String)>,
    /// What follows `?`.
    pub query: String,
    /// The body.
    pub body: Bytes,
    /// Headers that handlers look at.
    pub headers: hyper::HeaderMap,
}

impl Call {
    /// An integer of the path.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn id(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.text(name);
        let none = || ApiError::field(name, format!("{text:?} is not a number"));
        // `+1` would be a second name of the same thing.
        if text.starts_with('+') { Err(none()) } else { text.parse().map_err(|_| none()) }
    }

    /// A part of the path, percent-decoded.
    pub fn text(&self, name: &str) -> &str {
        self.parameters.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// The query as a type.
    pub(super) fn query<Q: DeserializeOwned>(&self) -> Result<Q, ApiError> {
        let parser = serde_urlencoded::Deserializer::new(form_parse(&self.query));
        serde_path_to_error::deserialize(parser).map_err(|error| named(&error))
    }

    /// The body as a type.
    pub(super) fn body<B: DeserializeOwned>(&self) -> Result<B, ApiError> {
        let bytes: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        let json = self.headers.get(hyper::header::CONTENT_TYPE).is_none_or(|value| {
            let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
        });
        if !json && !self.body.is_empty() {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "the body must be JSON, sent with Content-Type: application/json",
            ));
        }
        // A list of values would be taken for the fields in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(ApiError::field("body", "must be one JSON object"));
        }
        let mut parser = serde_json::Deserializer::from_slice(bytes);
        let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| named(&error))?;
        parser.end().map_err(|error| ApiError::new(Code::ValidationError, format!("the body: {error}")))?;
        Ok(value)
    }

    /// Who calls, for endpoints that need somebody.
    ///
    /// # Errors
    /// 401.
    pub fn principal(&self) -> Result<&Arc<Principal>, ApiError> {
        self.principal.as_ref().ok_or_else(ApiError::unauthorized)
    }

    /// Name of the caller, for records.
    pub fn who(&self) -> String {
        self.principal.as_ref().map_or_else(|| "nobody".to_owned(), |principal| principal.name.clone())
    }
}

fn form_parse(query: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.as_bytes())
}

/// The field stands in the path, or between the first back-ticks of what serde says.
fn named<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> ApiError {
    let message = error.inner().to_string();
    let path = error.path().to_string();
    let quoted = || message.split('`').nth(1).map(str::to_owned);
    let field = match path.as_str() {
        "." | "?" | "" => quoted(),
        path => match message.starts_with("missing field") || message.starts_with("unknown field") {
            true => quoted().map(|name| match path.rsplit_once('.') {
                Some((above, _)) if path.ends_with(&name) => format!("{above}.{name}"),
                _ if path.ends_with(&name) => name,
                _ => format!("{path}.{name}"),
            }),
            false => Some(path.to_owned()),
        },
    };
    ApiError { field, ..ApiError::new(Code::ValidationError, message) }
}

/// What an endpoint answers when all is well, for the documentation.
#[derive(Debug, Clone)]
pub struct AnswerSpec {
    /// Status.
    pub status: StatusCode,
    /// Content type.
    pub content_type: &'static str,
    /// Schema of a JSON answer.
    pub schema: Option<SchemaOf>,
}

/// An answer on its way out.
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Content type.
    pub content_type: &'static str,
    /// Name under which it should be saved.
    pub file_name: Option<String>,
    /// Content.
    pub body: ReplyBody,
    /// Id of what was made or changed, where the path does not tell: for the audit log.
    pub resource: Option<i64>,
}

/// Content of an answer.
pub enum ReplyBody {
    /// All of it.
    Full(Bytes),
    /// Piece by piece until the sender is gone.
    Stream(tokio::sync::mpsc::Receiver<Bytes>),
}

/// What handlers return.
pub trait Answer {
    /// For the documentation.
    fn spec() -> AnswerSpec;
    /// The answer itself.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    fn into_reply(self) -> Result<Reply, ApiError>;
}

/// 200 with a JSON body.
pub struct Json<T>(pub T);
/// 201 with a JSON body: something was made.
pub struct Created<T>(pub T);
/// 202 with a JSON body: something has begun.
pub struct Accepted<T>(pub T);

const JSON: &str = "application/json";
/// Content type of server-sent events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Reply, ApiError> {
    let bytes = serde_json::to_vec(value).map_err(ApiError::internal)?;
    Ok(Reply {
        status,
        content_type: JSON,
        file_name: None,
        body: ReplyBody::Full(bytes.into()),
        resource: None,
    })
}

macro_rules! json_answer {
    ($name:ident, $status:expr) => {
        impl<T: Serialize + JsonSchema> Answer for $name<T> {
            fn spec() -> AnswerSpec {
                let schema: SchemaOf = |generator| generator.subschema_for::<T>();
                AnswerSpec { status: $status, content_type: JSON, schema: Some(schema) }
            }
            fn into_reply(self) -> Result<Reply, ApiError> {
                json($status, &self.0)
            }
        }
    };
}
json_answer!(Json, StatusCode::OK);
json_answer!(Created, StatusCode::CREATED);
json_answer!(Accepted, StatusCode::ACCEPTED);

macro_rules! page_answer {
    ($(#[$doc:meta])* $name:ident, $kind:expr) => {
        $(#[$doc])*
        pub struct $name {
            /// Content.
            pub body: String,
            /// Name under which it should be saved.
            pub file_name: Option<String>,
        }
        impl Answer for $name {
            fn spec() -> AnswerSpec {
                AnswerSpec { status: StatusCode::OK, content_type: $kind, schema: None }
            }
            fn into_reply(self) -> Result<Reply, ApiError> {
                Ok(Reply {
                    status: StatusCode::OK,
                    content_type: $kind,
                    file_name: self.file_name,
                    body: ReplyBody::Full(self.body.into()),
                    resource: None,
                })
            }
        }
    };
}
page_answer!(
    /// A page of HTML.
    Html,
    "text/html; charset=utf-8"
);
page_answer!(
    /// Plain text.
    Text,
    "text/plain; charset=utf-8"
);

/// A file to save, of one of several types.
pub struct Download {
    /// `application/json` or `text/csv; charset=utf-8`.
    pub content_type: &'static str,
    /// Its name.
    pub file_name: String,
    /// Content.
    pub body: Vec<u8>,
}

impl Answer for Download {
    fn spec() -> AnswerSpec {
        AnswerSpec { status: StatusCode::OK, content_type: "*/*", schema: None }
    }

    fn into_reply(self) -> Result<Reply, ApiError> {
        Ok(Reply {
            status: StatusCode::OK,
            content_type: self.content_type,
            file_name: Some(self.file_name),
            body: ReplyBody::Full(self.body.into()),
            resource: None,
        })
    }
}

/// Server-sent events.
pub struct EventStream(pub tokio::sync::mpsc::Receiver<Bytes>);

impl Answer for EventStream {
    fn spec() -> AnswerSpec {
        AnswerSpec { status: StatusCode::OK, content_type: EVENT_STREAM, schema: None }
    }

    fn into_reply(self) -> Result<Reply, ApiError> {
        Ok(Reply {
            status: StatusCode::OK,
            content_type: EVENT_STREAM,
            file_name: None,
            body: ReplyBody::Stream(self.0),
            resource: None,
        })
    }
}

/// Another answer with the id of what was made: the audit log names it.
pub struct Made<A>(pub i64, pub A);

impl<A: Answer> Answer for Made<A> {
    fn spec() -> AnswerSpec {
        A::spec()
    }

    fn into_reply(self) -> Result<Reply, ApiError> {
        Ok(Reply { resource: Some(self.0), ..self.1.into_reply()? })
    }
}

/// `{"status":"..."}`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Status {
    /// What became of it.
    pub status: String,
}

impl Status {
    /// `{"status":"..."}` with 200.
    pub fn ok(status: &str) -> Json<Status> {
        Json(Status { status: status.to_owned() })
    }
}
