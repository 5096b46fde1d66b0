//! The audit log.

use std::fmt::Write;

use bytes::Bytes;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::access::{Audit, AuditEntry, Resource};
use crate::api::call::{Answer, AnswerSpec, Call, Json, Reply, ReplyBody};
use crate::api::endpoint::{Endpoint, get};
use crate::api::error::ApiError;
use crate::catalog::AuditFilter;

/// Entries of an answer where the caller does not say.
const LIMIT: u64 = 100;
/// Entries of the longest answer.
const MOST: u64 = 1000;
/// Entries read at once for an export.
const PIECE: u64 = 1000;
/// Pieces of an export that wait for the caller.
const AHEAD: usize = 2;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const L: Resource = Resource::Logs;
    vec![
        get("/api/v1/logs/audit", "logs.audit", "Who did what, the newest first").needs(L).asks(audit),
        get("/api/v1/logs/export", "logs.export", "The audit log as a file").needs(L).audited().asks(export),
        get("/api/v1/logs/verify", "logs.verify", "Whether the audit log was altered")
            .needs(L)
            .answers(verify),
    ]
}

/// Which entries.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Date (UTC) or RFC 3339 time: not before.
    start_date: Option<String>,
    /// Date (UTC, with the whole day) or RFC 3339 time: not after.
    end_date: Option<String>,
    user_id: Option<i64>,
    /// `tapes.format` and the like.
    action: Option<String>,
    /// `tape`, `job` and the like.
    resource_type: Option<String>,
    /// At most so many [default: 100, at most 1000].
    limit: Option<u64>,
    offset: Option<u64>,
}

/// An action.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct Entry {
    id: i64,
    timestamp: String,
    user_id: Option<i64>,
    /// Name of the user or of the API key.
    username: String,
    action: String,
    resource_type: String,
    /// Where it is a number.
    resource_id: Option<i64>,
    /// The same, or the name that stands for one.
    resource: Option<String>,
    details: Value,
    ip_address: Option<String>,
    request_id: Option<String>,
    /// `done`, `refused`, `failed`; `started` while it goes on, or where the process died.
    outcome: String,
    finished_at: Option<String>,
}

impl From<AuditEntry> for Entry {
    fn from(entry: AuditEntry) -> Self {
        Entry {
            id: entry.id,
            timestamp: precise(entry.time),
            user_id: entry.user_id,
            username: entry.username,
            action: entry.action,
            resource_type: entry.resource_type,
            resource_id: entry.resource_id.as_deref().and_then(|id| id.parse().ok()),
            resource: entry.resource_id,
            details: entry.details,
            ip_address: entry.address,
            request_id: entry.request_id,
            outcome: entry.outcome,
            finished_at: entry.finished.map(precise),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Entries {
    logs: Vec<Entry>,
    /// Without limit and offset.
    total: u64,
}

fn audit(call: &Call, which: Which) -> Result<Json<Entries>, ApiError> {
    let filter = AuditFilter {
        from: which.start_date.map(|text| moment("start_date", &text)).transpose()?,
        until: which.end_date.map(|text| end("end_date", &text)).transpose()?,
        before: None,
        user_id: which.user_id,
        action: which.action,
        resource_type: which.resource_type,
        limit: which.limit.unwrap_or(LIMIT).min(MOST),
        offset: which.offset.unwrap_or_default(),
    };
    let (entries, total) = call.api.audit.query(&filter)?;
    Ok(Json(Entries { logs: entries.into_iter().map(Entry::from).collect(), total }))
}

/// What an export holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct What {
    /// `json` (default) or `csv`.
    #[schemars(extend("enum" = ["json", "csv"]))]
    format: Option<String>,
    /// Date (UTC) or RFC 3339 time: not before.
    start_date: Option<String>,
    /// Date (UTC, with the whole day) or RFC 3339 time: not after.
    end_date: Option<String>,
}

/// An export on its way out, read piece by piece.
struct Export {
    format: Format,
    pieces: mpsc::Receiver<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

impl Answer for Export {
    fn spec() -> AnswerSpec {
        AnswerSpec { status: hyper::StatusCode::OK, content_type: "*/*", schema: None }
    }

    fn into_reply(self) -> Result<Reply, ApiError> {
        let (content_type, extension) = match self.format {
            Format::Json => ("application/json", "json"),
            Format::Csv => ("text/csv; charset=utf-8", "csv"),
        };
        let day = Timestamp::now().strftime("%Y-%m-%d");
        Ok(Reply {
            status: hyper::StatusCode::OK,
            content_type,
            file_name: Some(format!("audit-{day}.{extension}")),
            body: ReplyBody::Stream(self.pieces),
            resource: None,
        })
    }
}

fn export(call: &Call, what: What) -> Result<Export, ApiError> {
    let format = match what.format.as_deref() {
        None | Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        Some(_) => return Err(ApiError::field("format", "must be json or csv")),
    };
    let filter = AuditFilter {
        from: what.start_date.map(|text| moment("start_date", &text)).transpose()?,
        until: what.end_date.map(|text| end("end_date", &text)).transpose()?,
        limit: PIECE,
        ..AuditFilter::default()
    };
    let (sender, pieces) = mpsc::channel(AHEAD);
    let (log, request) = (call.api.audit.clone(), call.request_id.clone());
    std::thread::Builder::new()
        .name("audit-export".to_owned())
        .spawn(move || {
            // A caller who sees no end of the file knows that it is not whole.
            if let Err(error) = write_export(&log, filter, format, &sender) {
                tracing::error!(request, %error, "an export of the audit log ended early");
            }
        })
        .map_err(ApiError::internal)?;
    Ok(Export { format, pieces })
}

/// Reads the log backwards and sends it. Ends early where nobody wants more.
fn write_export(
    log: &Audit,
    mut filter: AuditFilter,
    format: Format,
    out: &mpsc::Sender<Bytes>,
) -> Result<(), crate::access::AccessError> {
    let mut text = match format {
        Format::Json => "{\"logs\":[".to_owned(),
        Format::Csv => COLUMNS.to_owned(),
    };
    let mut count = 0_u64;
    loop {
        let (entries, _) = log.query(&filter)?;
        filter.before = entries.last().map(|entry| entry.id);
        for entry in entries {
            let entry = Entry::from(entry);
            match format {
                Format::Json => {
                    text.push_str(if count == 0 { "\n" } else { ",\n" });
                    text.push_str(&serde_json::to_string(&entry).unwrap_or_default());
                }
                Format::Csv => csv(&mut text, &entry),
            }
            count += 1;
        }
        let is_end = filter.before.is_none();
        if is_end && format == Format::Json {
            let _ = write!(text, "\n],\"total\":{count}}}\n");
        }
        if out.blocking_send(std::mem::take(&mut text).into()).is_err() || is_end {
            return Ok(());
        }
    }
}

const COLUMNS: &str = "id,timestamp,user_id,username,action,resource_type,resource_id,details,ip_address,request_id,\
outcome,finished_at\r\n";

/// A line of RFC 4180. What a spreadsheet would take for a formula begins with an apostrophe.
fn csv(text: &mut String, entry: &Entry) {
    let number = |id: i64| id.to_string();
    let cells = [
        Some(number(entry.id)),
        Some(entry.timestamp.clone()),
        entry.user_id.map(number),
        Some(entry.username.clone()),
        Some(entry.action.clone()),
        Some(entry.resource_type.clone()),
        entry.resource.clone(),
        Some(entry.details.to_string()),
        entry.ip_address.clone(),
        entry.request_id.clone(),
        Some(entry.outcome.clone()),
        entry.finished_at.clone(),
    ];
    for (at, cell) in cells.into_iter().enumerate() {
        let cell = cell.unwrap_or_default();
        let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        if at > 0 {
            text.push(',');
        }
        match cell.contains(['"', ',', '\r', '\n']) {
            true => {
                let _ = write!(text, "\"{guard}{}\"", cell.replace('"', "\"\""));
            }
            false => {
                let _ = write!(text, "{guard}{cell}");
            }
        }
    }
    text.push_str("\r\n");
}

/// What a check of the log found.
#[derive(Debug, Serialize, JsonSchema)]
struct Verified {
    sound: bool,
    /// Records whose hash fits, from the first on.
    records: i64,
    /// Number of the last record.
    last: i64,
    /// Its hash.
    hash: String,
    faults: Vec<String>,
}

fn verify(call: &Call) -> Result<Json<Verified>, ApiError> {
    let report = call.api.audit.verify()?;
    Ok(Json(Verified {
        sound: report.sound,
        records: report.records,
        last: report.last,
        hash: report.hash,
        faults: report.faults,
    }))
}

/// To the millisecond: what happened one after the other is told apart.
fn precise(nanoseconds: i64) -> String {
    let time = Timestamp::from_millisecond(nanoseconds.div_euclid(1_000_000));
    time.map_or_else(|_| String::new(), |time| time.to_string())
}

/// A date or a time of the caller's: nanoseconds since the epoch. What has no zone is UTC.
///
/// # Errors
/// 400: neither.
pub(super) fn moment(field: &str, text: &str) -> Result<i64, ApiError> {
    let parsed = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    parsed
        .and_then(|time| i64::try_from(time.as_nanosecond()).ok())
        .ok_or_else(|| ApiError::field(field, format!("{text:?} is neither a date nor an RFC 3339 time")))
}

/// The first moment behind the one that is meant: a date is meant with its whole day.
fn end(field: &str, text: &str) -> Result<i64, ApiError> {
    let is_date = text.len() == "2024-01-31".len();
    match text.parse::<Date>().ok().filter(|_| is_date).and_then(|date| date.checked_add(1.day()).ok()) {
        Some(next) => moment(field, &next.to_string()),
        None => moment(field, text).map(|time| time.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times() {
        let second = 1_000_000_000;
        assert_eq!(moment("f", "1970-01-02").unwrap(), 86_400 * second);
        assert_eq!(moment("f", "1970-01-01T00:00:01").unwrap(), second);
        assert_eq!(moment("f", "1970-01-01T01:00:01+01:00").unwrap(), second);
        assert_eq!(end("f", "1970-01-01").unwrap(), 86_400 * second);
        assert_eq!(end("f", "1970-01-01T00:00:01Z").unwrap(), second + 1);
        for wrong in ["", "yesterday", "2024-13-01", "2024-01-01T25:00:00Z", "9999999-01-01"] {
            assert_eq!(moment("f", wrong).unwrap_err().field.as_deref(), Some("f"), "{wrong}");
            assert!(end("f", wrong).is_err());
        }
    }

    #[test]
    fn cells_are_no_formulas() {
        let mut entry = Entry {
            id: 1,
            timestamp: precise(1_500_000),
            user_id: None,
            username: "=HYPERLINK(\"x\",\"y\")".to_owned(),
            action: "a".to_owned(),
            resource_type: "t".to_owned(),
            resource_id: None,
            resource: Some("-1".to_owned()),
            details: serde_json::json!({ "a": "b\nc" }),
            ip_address: None,
            request_id: None,
            outcome: "done".to_owned(),
            finished_at: None,
        };
        let mut text = String::new();
        csv(&mut text, &entry);
        let expected = "1,1970-01-01T00:00:00.001Z,,\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\",a,t,'-1,\"{\"\"a\"\":\"\"b\\nc\"\"}\",,,done,\r\n";
        assert_eq!(text, expected);
        entry.username = "a,b".to_owned();
        text.clear();
        csv(&mut text, &entry);
        assert!(text.contains(",\"a,b\","));
        assert_eq!(COLUMNS.matches(',').count(), 11);
    }
}
