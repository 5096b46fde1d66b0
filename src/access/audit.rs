//! The audit log: who did what, told when it begins and when it ends, in a chain that shows every change to it.
//!
//! The last record's number and hash are kept outside of the catalog too: in the file `audit-head` of the state directory, and in the
//! journal with every record.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use super::clock::Clock;
use super::{AccessError, Result, secret};
use crate::catalog::{AuditFilter, AuditHead, AuditRow, Catalog, NewAuditRecord};

/// The file in the state directory.
const FILE: &str = "audit-head";
/// Bytes of its one line.
const LINE: usize = 20 + 1 + 64 + 1;

/// What somebody does.
#[derive(Debug, Clone)]
pub struct Action<'a> {
    /// Who, where it is a user.
    pub user_id: Option<i64>,
    /// Who.
    pub username: &'a str,
    /// What is done: `tape.format`.
    pub action: &'a str,
    /// To what kind of thing: `tape`.
    pub resource_type: &'a str,
    /// To which.
    pub resource_id: Option<&'a str>,
    /// What else; no secrets.
    pub details: Value,
    /// From where.
    pub address: Option<IpAddr>,
    /// Of which request.
    pub request_id: Option<&'a str>,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
    /// It failed.
    Failed,
}

impl Outcome {
    /// `done`, `refused`, `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// An action that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditId(pub i64);

/// An action of the log. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Number of the record that began it.
    pub id: i64,
    /// When it began.
    pub time: i64,
    /// When it ended.
    pub finished: Option<i64>,
    /// Who, where it is a user.
    pub user_id: Option<i64>,
    /// Who.
    pub username: String,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub resource_type: String,
    /// To which.
    pub resource_id: Option<String>,
    /// What else: as told at the beginning, with what was told at the end put over it.
    pub details: Value,
    /// From where.
    pub address: Option<String>,
    /// Of which request.
    pub request_id: Option<String>,
    /// `done`, `refused`, `failed`; `started` while it goes on, or where the process died.
    pub outcome: String,
}

/// What a check of the log found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AuditReport {
    /// Whether nothing is wrong.
    pub sound: bool,
    /// Records whose hash fits, from the first on.
    pub records: i64,
    /// Number of the last record.
    pub last: i64,
    /// Its hash, in hexadecimal.
    pub hash: String,
    /// What is wrong.
    pub faults: Vec<String>,
}

/// The audit log of one state directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    catalog: Catalog,
    head: PathBuf,
    clock: Clock,
}

impl Audit {
    pub(super) fn new(catalog: Catalog, state: &Path, clock: Clock) -> Audit {
        Audit { catalog, head: state.join(FILE), clock }
    }

    /// Tells that something begins, durably.
    ///
    /// # Errors
    /// The catalog or the file fails: then it must not begin.
    pub fn begin(&self, action: &Action<'_>) -> Result<AuditId> {
        self.append(action, None)
    }

    /// Tells how it ended. `details` are put over those of the beginning; `resource_id` tells what was made.
    ///
    /// # Errors
    /// The catalog or the file fails; it ended before.
    pub fn finish(
        &self,
        id: AuditId,
        outcome: Outcome,
        resource_id: Option<&str>,
        details: &Value,
    ) -> Result<()> {
        let details = details.to_string();
        self.write(&NewAuditRecord {
            begins: Some(id.0),
            time: self.clock.now(),
            resource_id,
            details: &details,
            outcome: Some(outcome.as_str()),
            ..NewAuditRecord::default()
        })?;
        Ok(())
    }

    /// Tells something that began and ended at once.
    ///
    /// # Errors
    /// The catalog or the file fails.
    pub fn record(&self, action: &Action<'_>, outcome: Outcome) -> Result<AuditId> {
        self.append(action, Some(outcome))
    }

    fn append(&self, action: &Action<'_>, outcome: Option<Outcome>) -> Result<AuditId> {
        let details = action.details.to_string();
        let address = action.address.map(|address| address.to_canonical().to_string());
        self.write(&NewAuditRecord {
            begins: None,
            time: self.clock.now(),
            user_id: action.user_id,
            username: action.username,
            action: action.action,
            resource_type: action.resource_type,
            resource_id: action.resource_id,
            details: &details,
            address: address.as_deref(),
            request_id: action.request_id,
            outcome: outcome.map(Outcome::as_str),
        })
        .map(AuditId)
    }

    fn write(&self, record: &NewAuditRecord<'_>) -> Result<i64> {
        let (previous, head) = self.catalog.append_audit(record)?;
        tracing::info!(
            target: "reelward::audit",
            seq = head.seq,
            hash = %secret::hex(&head.hash),
            begins = record.begins,
            user = record.username,
            action = record.action,
            resource = record.resource_type,
            id = record.resource_id,
            outcome = record.outcome,
            "audit record"
        );
        self.keep(&previous, &head)?;
        Ok(head.seq)
    }

    /// Writes the head into its file, unless that knows more than the catalog: then something was cut off, and the file is
    /// what proves it.
    fn keep(&self, previous: &AuditHead, head: &AuditHead) -> Result<()> {
        let failed = |source| self.failed(source);
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&self.head)
            .map_err(failed)?;
        let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))?;
        if let Some(kept) = read(&file).map_err(failed)? {
            let follows = kept == *previous || self.catalog.audit_hash(kept.seq)? == Some(kept.hash);
            if kept.seq >= head.seq || !follows {
                if !follows {
                    tracing::error!(
                        kept = kept.seq,
                        "the audit log was altered: run `reelward audit verify`"
                    );
                }
                return Ok(());
            }
        } else if previous.seq > 0 {
            tracing::warn!(file = %self.head.display(), "the head of the audit log was missing and is made anew");
        }
        file.write_all_at(line(head).as_bytes(), 0).map_err(failed)
    }

    fn failed(&self, source: io::Error) -> AccessError {
        let what = "the head of the audit log cannot be kept";
        AccessError::File { path: self.head.clone(), what, source }
    }

    /// Actions that the filter lets through, the newest first, and how many there are without limit and offset.
    pub fn query(&self, filter: &AuditFilter) -> Result<(Vec<AuditEntry>, u64)> {
        let (rows, total) = self.catalog.audit(filter)?;
        Ok((rows.into_iter().map(entry).collect(), total))
    }

    /// Checks that no record was altered, taken out, put in or moved, and that none is missing at the end. Nothing is written.
    ///
    /// # Errors
    /// The catalog or the file cannot be read.
    pub fn verify(&self) -> Result<AuditReport> {
        // First the file: the log may grow meanwhile, the file must not be ahead of what is read.
        let kept = match File::open(&self.head) {
            Ok(file) => read(&file).map_err(|source| self.failed(source))?.ok_or("is not what we wrote"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err("is missing"),
            Err(error) => return Err(self.failed(error)),
        };
        let chain = self.catalog.check_audit(kept.as_ref().map_or(0, |head| head.seq))?;
        let mut faults: Vec<String> = chain.fault.into_iter().collect();
        match kept {
            Err(_) if chain.head.seq == 0 => {}
            Err(what) => faults.push(format!(
                "{}: {what}: whether records are missing at the end cannot be told",
                self.head.display()
            )),
            Ok(kept) if kept.seq > chain.head.seq => faults.push(format!(
                "records {} to {} are missing at the end: {} knows of them",
                chain.head.seq + 1,
                kept.seq,
                self.head.display()
            )),
            Ok(kept) if faults.is_empty() && chain.anchor != Some(kept.hash) => faults.push(format!(
                "record {} is not the one that {} knows: the log was written anew",
                kept.seq,
                self.head.display()
            )),
            Ok(_) => {}
        }
        Ok(AuditReport {
            sound: faults.is_empty(),
            records: chain.sound,
            last: chain.head.seq,
            hash: secret::hex(&chain.head.hash),
            faults,
        })
    }
}

fn line(head: &AuditHead) -> String {
    format!("{:020} {}\n", head.seq, secret::hex(&head.hash))
}

/// The head in a file; none in an empty or damaged one.
fn read(file: &File) -> io::Result<Option<AuditHead>> {
    let mut text = String::new();
    let mut from = file;
    match from.by_ref().take(LINE as u64 + 1).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        other => other?,
    };
    Ok(parse(&text))
}

fn parse(text: &str) -> Option<AuditHead> {
    let (seq, hash) = text.strip_suffix('\n').filter(|_| text.len() == LINE)?.split_once(' ')?;
    let mut head = AuditHead { seq: seq.parse().ok()?, hash: [0; 32] };
    for (byte, at) in head.hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hash.get(at..at + 2)?, 16).ok()?;
    }
    // Nothing but what we write.
    (line(&head) == text).then_some(head)
}

fn entry(row: AuditRow) -> AuditEntry {
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let mut details = parsed(&row.details);
    if let Some(end) = row.end_details.as_deref().map(parsed) {
        match (&mut details, end) {
            (Value::Object(fields), Value::Object(end)) => fields.extend(end),
            (_, Value::Null) => {}
            (details, end) => *details = end,
        }
    }
    AuditEntry {
        id: row.id,
        time: row.time,
        finished: row.finished,
        user_id: row.user_id,
        username: row.username,
        action: row.action,
        resource_type: row.resource_type,
        resource_id: row.resource_id,
        details,
        address: row.address,
        request_id: row.request_id,
        outcome: row.outcome.unwrap_or_else(|| "started".to_owned()),
    }
}
