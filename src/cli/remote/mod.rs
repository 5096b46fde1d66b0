//! Commands over the daemon: where one runs on the state directory, it has the devices, and commands are its tasks. Answers,
//! reports and exit codes are those of the same command without a daemon.

mod client;
mod drives;
mod follow;
mod works;

use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::context::Context;
use super::error::CliError;
use super::output::Output;
use crate::daemon::SOCKET;
use crate::engine::{
    BackupReport, BackupRequest, LabelReport, LabelRequest, RebuildReport, RebuildRequest, RestoreReport,
    RestoreRequest, VerifyReport, VerifyRequest,
};
use crate::format::age::Identity;
use crate::tasks::{LibraryStep, LibraryWork, Work};

use client::{CallError, Client};

/// A daemon that runs on the state directory.
pub(super) struct Daemon<'a> {
    client: Client,
    context: &'a Context,
}

/// A task as the API shows it: what is looked at here.
#[derive(Debug, Deserialize)]
struct Task {
    id: i64,
    status: String,
    waiting_for: Option<String>,
    prompt: Option<Value>,
    progress: Option<Value>,
    result: Option<Value>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Submitted {
    task: Task,
    duplicate: bool,
}

impl<'a> Daemon<'a> {
    /// The daemon that runs on the state directory, if one does.
    ///
    /// # Errors
    /// It cannot do what the options ask for.
    pub(super) fn find(context: &'a Context) -> Result<Option<Daemon<'a>>, CliError> {
        let Some(client) = Client::find(&context.state().join(SOCKET))? else { return Ok(None) };
        if context.break_reservation {
            return Err(CliError::Usage(
                "--break-reservation: a daemon runs on this state directory and has the drives; stop it first".into(),
            ));
        }
        Ok(Some(Daemon { client, context }))
    }

    pub(super) fn backup(
        &self,
        request: BackupRequest,
        cancel: &AtomicBool,
    ) -> Result<BackupReport, CliError> {
        let work = works::backup(request, self.drive()?)?;
        self.perform("backup", work, &[], cancel)
    }

    pub(super) fn restore(
        &self,
        request: &RestoreRequest,
        cancel: &AtomicBool,
    ) -> Result<RestoreReport, CliError> {
        let work = works::restore(request, self.drive()?)?;
        self.perform("restore", work, &request.identities, cancel)
    }

    pub(super) fn verify(
        &self,
        request: &VerifyRequest,
        cancel: &AtomicBool,
    ) -> Result<VerifyReport, CliError> {
        let work = works::verify(request, self.drive()?);
        self.perform("verify", work, &request.identities, cancel)
    }

    pub(super) fn rebuild(
        &self,
        request: &RebuildRequest,
        cancel: &AtomicBool,
    ) -> Result<RebuildReport, CliError> {
        let work = Work::Rebuild {
            drive: self.drive()?,
            volumes: request.volumes.clone(),
            own_keys: !request.identities.is_empty(),
        };
        self.perform("rebuild", work, &request.identities, cancel)
    }

    /// `first_unlabelled`: where no cartridge is named and none is in the drive.
    pub(super) fn label(
        &self,
        request: LabelRequest,
        first_unlabelled: bool,
    ) -> Result<LabelReport, CliError> {
        let work = works::label(request, first_unlabelled, self.drive()?);
        self.perform("label", work, &[], &*super::interrupt::watch()?)
    }

    /// Does one thing with the library.
    pub(super) fn library<R: DeserializeOwned>(&self, step: LibraryStep) -> Result<R, CliError> {
        let work = Work::Library(LibraryWork { drive: self.drive()?, step });
        self.perform("library", work, &[], &*super::interrupt::watch()?)
    }

    /// The drive that a command without a daemon would use.
    pub(super) fn drive_status<R: DeserializeOwned>(&self) -> Result<R, CliError> {
        let work = Work::DriveStatus { drive: Some(self.idle_drive()?) };
        self.perform("drive", work, &[], &*super::interrupt::watch()?)
    }

    /// Likewise, of its health.
    pub(super) fn drive_health<R: DeserializeOwned>(&self) -> Result<R, CliError> {
        let work = Work::DriveHealth { drive: Some(self.idle_drive()?) };
        self.perform("drive", work, &[], &*super::interrupt::watch()?)
    }

    /// Cleans it.
    pub(super) fn clean<R: DeserializeOwned>(&self) -> Result<R, CliError> {
        let work = Work::Clean { drive: self.idle_drive()? };
        self.perform("clean", work, &[], &*super::interrupt::watch()?)
    }

    /// Winds its tape to the end and back.
    pub(super) fn retension<R: DeserializeOwned>(&self) -> Result<R, CliError> {
        let work = Work::Retension { drive: self.idle_drive()? };
        self.perform("retension", work, &[], &*super::interrupt::watch()?)
    }

    fn output(&self) -> Output {
        self.context.output
    }

    /// Has the daemon do `work` and waits for its report.
    fn perform<R: DeserializeOwned>(
        &self,
        title: &str,
        work: Work,
        keys: &[Identity],
        cancel: &AtomicBool,
    ) -> Result<R, CliError> {
        let submitted = self.submit(&work, keys)?;
        if submitted.duplicate {
            let id = submitted.task.id;
            if !keys.is_empty() {
                return Err(CliError::Failed(format!(
                    "the same is under way as task {id}, without these keys; run the command again when it is over"
                )));
            }
            self.output()
                .warning(&format!("the same is under way already, as task {id}: its result is shown"));
        }
        let result = self.follow(title, &work, submitted.task, cancel)?;
        serde_json::from_value(result).map_err(|error| {
            CliError::Failed(format!(
                "the daemon's report cannot be read ({error}): it is of another version"
            ))
        })
    }

    fn submit(&self, work: &Work, keys: &[Identity]) -> Result<Submitted, CliError> {
        let unusable =
            |error: serde_json::Error| CliError::Failed(format!("the daemon cannot be asked: {error}"));
        let work = serde_json::to_string(work).map_err(unusable)?;
        // Put together by hand: keys pass through no value that is not wiped.
        let mut body = Zeroizing::new(String::with_capacity(work.len() + 64 + keys.len() * 96));
        body.push_str("{\"work\":");
        body.push_str(&work);
        body.push_str(",\"identities\":[");
        for (number, key) in keys.iter().enumerate() {
            body.push_str(if number == 0 { "\"" } else { ",\"" });
            body.push_str(&key.to_secret_text());
            body.push('"');
        }
        body.push_str("]}");
        let answer = self.client.post("/api/v1/tasks", Bytes::from_owner(Wiped(body)))?;
        serde_json::from_value(answer).map_err(unusable)
    }

    fn task(&self, id: i64) -> Result<Task, CallError> {
        let answer = self.client.get(&format!("/api/v1/tasks/{id}"))?;
        serde_json::from_value(answer).map_err(|error| CallError::Refused(error.to_string()))
    }
}

/// A body that is wiped when it is sent.
struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
