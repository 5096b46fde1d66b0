//! A client of the daemon's socket: one connection for each call.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use crate::cli::error::CliError;

/// Why a call has no answer.
pub(super) enum CallError {
    /// Nobody answers any more.
    Gone(String),
    /// The daemon refuses.
    Refused(String),
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> CliError {
        match error {
            CallError::Gone(why) => CliError::Failed(format!("the daemon does not answer: {why}")),
            CallError::Refused(message) => CliError::Failed(message),
        }
    }
}

fn gone(error: impl std::error::Error) -> CallError {
    CallError::Gone(crate::engine::chain(&error))
}

/// The daemon's socket, and what is needed to speak to it.
pub(super) struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// A client where a daemon listens; none where nobody does.
    ///
    /// # Errors
    /// The system gives no event loop.
    pub(super) fn find(socket: &Path) -> Result<Option<Client>, CliError> {
        if std::os::unix::net::UnixStream::connect(socket).is_err() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| CliError::Failed(format!("the daemon cannot be spoken to: {error}")))?;
        Ok(Some(Client { socket: socket.to_owned(), runtime }))
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, CallError> {
        self.call(Method::GET, path, Bytes::new())
    }

    /// Posts JSON text.
    pub(super) fn post(&self, path: &str, body: Bytes) -> Result<Value, CallError> {
        self.call(Method::POST, path, body)
    }

    fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Value, CallError> {
        self.runtime.block_on(async {
            let stream = UnixStream::connect(&self.socket).await.map_err(gone)?;
            let io = hyper_util::rt::TokioIo::new(stream);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(gone)?;
            let connection = tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(hyper::header::HOST, "localhost")
                .header(hyper::header::CONTENT_TYPE, "application/json")
                .body(Full::new(body))
                .map_err(|error| CallError::Refused(error.to_string()))?;
            let answer = sender.send_request(request).await.map_err(gone)?;
            let status = answer.status();
            let bytes = answer.into_body().collect().await.map_err(gone)?.to_bytes();
            connection.abort();
            let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
                CallError::Refused(format!("{path}: the daemon answers {status} and no JSON: {error}"))
            })?;
            if status.is_success() {
                return Ok(value);
            }
            let message = value.pointer("/error/message").and_then(Value::as_str);
            Err(CallError::Refused(message.map_or_else(|| format!("{path}: {status}"), str::to_owned)))
        })
    }
}
