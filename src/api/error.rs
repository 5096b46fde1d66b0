//! Errors on their way out: one table of codes and statuses, and what each error of the layers below becomes.

use hyper::StatusCode;

use super::endpoint::Surface;
use crate::access::{AccessError, Fault};
use crate::catalog::CatalogError;
use crate::config::KeysError;
use crate::engine::{EngineError, chain};
use crate::tasks::TasksError;

/// What went wrong, as a client may match it. docs/errors.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// Wrong body, query or path.
    ValidationError,
    /// No cartridge in the drive.
    NoTapeLoaded,
    /// The tab of the cartridge is set.
    TapeWriteProtected,
    /// Not signed in.
    Unauthorized,
    /// Signed in, but not allowed.
    Forbidden,
    /// Nothing at this path, or no such row.
    NotFound,
    /// No such tape.
    TapeNotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// The request did not arrive in time.
    RequestTimeout,
    /// It contradicts what is there.
    Conflict,
    /// A task works on the tape.
    TapeInUse,
    /// A task works on the drive.
    DriveBusy,
    /// The body is too large.
    TooLarge,
    /// The body is no JSON.
    UnsupportedMediaType,
    /// Too many requests, or too many wrong passwords.
    RateLimited,
    /// A person has to put a tape in first.
    OperatorNeeded,
    /// A fault of ours or of a device.
    InternalError,
    /// A device failed.
    DeviceError,
    /// Not part of this version.
    NotImplemented,
    /// Not now: shutting down, or too many long operations.
    Unavailable,
}

impl Code {
    /// Status and name.
    const fn row(self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Code::ValidationError => (S::BAD_REQUEST, "VALIDATION_ERROR"),
            Code::NoTapeLoaded => (S::BAD_REQUEST, "NO_TAPE_LOADED"),
            Code::TapeWriteProtected => (S::BAD_REQUEST, "TAPE_WRITE_PROTECTED"),
            Code::Unauthorized => (S::UNAUTHORIZED, "UNAUTHORIZED"),
            Code::Forbidden => (S::FORBIDDEN, "FORBIDDEN"),
            Code::NotFound => (S::NOT_FOUND, "NOT_FOUND"),
            Code::TapeNotFound => (S::NOT_FOUND, "TAPE_NOT_FOUND"),
            Code::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            Code::RequestTimeout => (S::REQUEST_TIMEOUT, "REQUEST_TIMEOUT"),
            Code::Conflict => (S::CONFLICT, "CONFLICT"),
            Code::TapeInUse => (S::CONFLICT, "TAPE_IN_USE"),
            Code::DriveBusy => (S::CONFLICT, "DRIVE_BUSY"),
            Code::OperatorNeeded => (S::CONFLICT, "OPERATOR_NEEDED"),
            Code::TooLarge => (S::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
            Code::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"),
            Code::RateLimited => (S::TOO_MANY_REQUESTS, "RATE_LIMITED"),
            Code::InternalError => (S::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
            Code::DeviceError => (S::BAD_GATEWAY, "DEVICE_ERROR"),
            Code::NotImplemented => (S::NOT_IMPLEMENTED, "NOT_IMPLEMENTED"),
            Code::Unavailable => (S::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        }
    }

    /// HTTP status.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// `TAPE_NOT_FOUND` and the like.
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }
}

/// An error with a public text and a private cause.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What a client may match.
    pub code: Code,
    /// For people; shown to the caller.
    pub message: String,
    /// The field of the body, the query or the path that is wrong.
    pub field: Option<String>,
    /// Seconds after which it may work.
    pub retry_after: Option<u64>,
    /// For the journal only.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// An error without a private side.
    pub fn new(code: Code, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), field: None, retry_after: None, cause: None }
    }

    /// 400: this field is wrong.
    pub fn field(field: &str, message: impl std::fmt::Display) -> ApiError {
        ApiError {
            field: Some(field.to_owned()),
            ..ApiError::new(Code::ValidationError, format!("{field}: {message}"))
        }
    }

    /// 404: no such row.
    pub fn missing(what: &str, id: impl std::fmt::Display) -> ApiError {
        let code = if what == "tape" { Code::TapeNotFound } else { Code::NotFound };
        let mut name = what.to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        ApiError::new(code, format!("{name} with ID {id} not found"))
    }

    /// 401.
    pub fn unauthorized() -> ApiError {
        ApiError::new(
            Code::Unauthorized,
            "sign in first: send Authorization: Bearer TOKEN or X-API-Key: KEY; the one sent, if any, is not valid",
        )
    }

    /// 409.
    pub fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::Conflict, message)
    }

    /// 500: the caller learns that it happened, the journal why.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ApiError {
        ApiError {
            cause: Some(cause.into()),
            ..ApiError::new(
                Code::InternalError,
                "something failed inside the appliance; its journal tells what, under this request's id",
            )
        }
    }

    /// The body that the documents of `surface` show.
    pub fn envelope(&self, surface: Surface) -> serde_json::Value {
        match surface {
            Surface::Tape => {
                let mut error = serde_json::json!({ "code": self.code.as_str(), "message": self.message });
                if let (Some(field), Some(map)) = (&self.field, error.as_object_mut()) {
                    map.insert("field".into(), field.clone().into());
                }
                serde_json::json!({ "error": error })
            }
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> ApiError {
        match error {
            CatalogError::NotFound { what, name } => {
                ApiError::missing(if what == "volume" { "tape" } else { what }, name)
            }
            CatalogError::Exists { .. } | CatalogError::InUse { .. } | CatalogError::Status { .. } => {
                ApiError::new(Code::Conflict, error.to_string())
            }
            error if error.is_full() => {
                tracing::error!("the file system of the state directory is full");
                let text = "the file system of the state directory is full: nothing was changed; make room there and try again";
                ApiError::new(Code::Unavailable, text)
            }
            error => ApiError::internal(error),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> ApiError {
        use EngineError as E;
        let code = match &error {
            E::Catalog(_) => {
                return match error {
                    E::Catalog(error) => error.into(),
                    error => ApiError::internal(error),
                };
            }
            E::Request(_) | E::Device { .. } | E::File { .. } => Code::ValidationError,
            E::NoSuchVolume { .. } => Code::TapeNotFound,
            E::NoSuchSet { .. } | E::NothingFound { .. } => Code::NotFound,
            E::WriteProtected { .. } => Code::TapeWriteProtected,
            E::Operator(_) => Code::OperatorNeeded,
            E::Busy { .. } => Code::DriveBusy,
            E::WrongVolume { .. }
            | E::EndOfDataMoved { .. }
            | E::ChangedElsewhere { .. }
            | E::NotBlank { .. }
            | E::HoldsSets { .. }
            | E::Unwritable { .. }
            | E::InUse { .. }
            | E::UnknownVolumes { .. }
            | E::LostCatalog { .. } => Code::Conflict,
            E::KeyMissing { .. } | E::KeyWrong { .. } | E::Key { .. } => Code::ValidationError,
            E::Target { .. } => Code::ValidationError,
            E::Drive(crate::drive::DriveError::NoMedium { .. }) => Code::NoTapeLoaded,
            E::Drive(_) | E::Changer(_) | E::Iscsi(_) | E::Sg(_) | E::Virtual(_) | E::NotCleaned { .. } => {
                Code::DeviceError
            }
            _ => return ApiError::internal(error),
        };
        // What the engine says is written for administrators.
        ApiError { cause: None, ..ApiError::new(code, chain(&error)) }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> ApiError {
        let code = match error.fault() {
            Fault::Unauthenticated => Code::Unauthorized,
            Fault::Forbidden => Code::Forbidden,
            Fault::NotFound => Code::NotFound,
            Fault::Conflict => Code::Conflict,
            Fault::Invalid => Code::ValidationError,
            Fault::TooMany(_) => Code::RateLimited,
            Fault::Internal => {
                return match error {
                    AccessError::Catalog(error) if error.is_full() => error.into(),
                    error => ApiError::internal(error),
                };
            }
        };
        let field = match &error {
            AccessError::Invalid { field, .. } => Some((*field).to_owned()),
            _ => None,
        };
        let retry_after = match error.fault() {
            Fault::TooMany(wait) => Some(wait.as_secs().max(1)),
            _ => None,
        };
        ApiError { field, retry_after, ..ApiError::new(code, error.to_string()) }
    }
}

impl From<TasksError> for ApiError {
    fn from(error: TasksError) -> ApiError {
        let code = match error {
            TasksError::Engine(error) => return error.into(),
            TasksError::Catalog(error) => return error.into(),
            TasksError::NoSuchTask(_) | TasksError::NoSuchDrive(_) => Code::NotFound,
            TasksError::State { .. } => Code::Conflict,
            TasksError::Busy { .. } => Code::DriveBusy,
            TasksError::Request(_) => Code::ValidationError,
            TasksError::Stopping => Code::Unavailable,
            TasksError::Thread(_) => return ApiError::internal(error),
        };
        ApiError::new(code, error.to_string())
    }
}

impl From<KeysError> for ApiError {
    fn from(error: KeysError) -> ApiError {
        match error {
            KeysError::Catalog(error) => error.into(),
            KeysError::NotAKey(_) => ApiError::field("key_data", error),
            error => ApiError::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_system_is_told_as_such() {
        let place = tempfile::tempdir().unwrap();
        let catalog = crate::catalog::Catalog::open(&place.path().join("catalog.sqlite")).unwrap();
        let full = || {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            CatalogError::Sql(rusqlite::Error::SqliteFailure(code, None))
        };
        for error in [ApiError::from(full()), AccessError::from(full()).into()] {
            assert_eq!(error.code, Code::Unavailable);
            assert!(error.message.contains("make room"), "{}", error.message);
        }
        let gone = catalog.pool(crate::catalog::PoolId(9)).unwrap_err();
        assert!(!gone.is_full());
    }
}
