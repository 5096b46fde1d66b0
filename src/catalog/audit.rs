//! The audit log: a chain of records that only grows. Each record's hash covers its content and the hash before it.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use sha2::{Digest, Sha256};

use super::{Catalog, CatalogError, Result};

/// What the hash of each record begins with.
const DOMAIN: &[u8] = b"reelward audit 1\0";
/// Records read at once while the chain is checked.
const BATCH: i64 = 1000;

/// A place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Number of the last record; 0 where there is none.
    pub seq: i64,
    /// Its hash; zeros where there is none.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// Before the first record.
    pub const START: AuditHead = AuditHead { seq: 0, hash: [0; 32] };
}

/// A record to append.
#[derive(Debug, Clone, Default)]
pub struct NewAuditRecord<'a> {
    /// The record whose action this one tells the end of.
    pub begins: Option<i64>,
    /// When, nanoseconds since the epoch.
    pub time: i64,
    /// Who, where it is a user.
    pub user_id: Option<i64>,
    /// Who.
    pub username: &'a str,
    /// What is done: `tape.format`.
    pub action: &'a str,
    /// To what kind of thing.
    pub resource_type: &'a str,
    /// To which.
    pub resource_id: Option<&'a str>,
    /// JSON.
    pub details: &'a str,
    /// From where.
    pub address: Option<&'a str>,
    /// Of which request.
    pub request_id: Option<&'a str>,
    /// How it ended; none where it only began.
    pub outcome: Option<&'a str>,
}

/// An action of the log: its beginning and, where it is known, its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Number of the record that began it.
    pub id: i64,
    /// When it began, nanoseconds since the epoch.
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
    /// To which; the end may have told it.
    pub resource_id: Option<String>,
    /// JSON, as told at the beginning.
    pub details: String,
    /// JSON, as told at the end.
    pub end_details: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// Of which request.
    pub request_id: Option<String>,
    /// How it ended; none while it goes on, or where the process died.
    pub outcome: Option<String>,
}

/// What to look for; what is `None` does not narrow.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Not before, nanoseconds since the epoch.
    pub from: Option<i64>,
    /// Before, nanoseconds since the epoch.
    pub until: Option<i64>,
    /// Numbers below this one.
    pub before: Option<i64>,
    /// Of this user.
    pub user_id: Option<i64>,
    /// This action.
    pub action: Option<String>,
    /// Done to this kind of thing.
    pub resource_type: Option<String>,
    /// At most so many.
    pub limit: u64,
    /// After so many.
    pub offset: u64,
}

/// What a check of the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditChain {
    /// Records whose hash fits, from the first on.
    pub sound: i64,
    /// The first thing that is wrong.
    pub fault: Option<String>,
    /// The last record.
    pub head: AuditHead,
    /// Hash of the record that was asked for.
    pub anchor: Option<[u8; 32]>,
}

const COLUMNS: &str = "begins, time, user_id, username, action, resource_type, resource_id, details, address, request_id, outcome";

impl NewAuditRecord<'_> {
    fn hash(&self, previous: &AuditHead) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(previous.hash);
        hash.update((previous.seq + 1).to_be_bytes());
        let number = |hash: &mut Sha256, value: Option<i64>| {
            hash.update([u8::from(value.is_some())]);
            hash.update(value.unwrap_or_default().to_be_bytes());
        };
        let text = |hash: &mut Sha256, value: Option<&str>| {
            hash.update([u8::from(value.is_some())]);
            let value = value.unwrap_or_default();
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        };
        number(&mut hash, self.begins);
        number(&mut hash, Some(self.time));
        number(&mut hash, self.user_id);
        for value in [Some(self.username), Some(self.action), Some(self.resource_type), self.resource_id] {
            text(&mut hash, value);
        }
        for value in [Some(self.details), self.address, self.request_id, self.outcome] {
            text(&mut hash, value);
        }
        hash.finalize().into()
    }
}

fn head(c: &Connection) -> Result<AuditHead> {
    let last = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";
    // A hash that somebody made unreadable must not stop the log: the break in the chain is told by a check.
    let found = c
        .query_row(last, [], |row| Ok(AuditHead { seq: row.get(0)?, hash: row.get(1).unwrap_or_default() }))
        .optional()?;
    Ok(found.unwrap_or(AuditHead::START))
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        time: row.get(1)?,
        finished: row.get(2)?,
        user_id: row.get(3)?,
        username: row.get(4)?,
        action: row.get(5)?,
        resource_type: row.get(6)?,
        resource_id: row.get(7)?,
        details: row.get(8)?,
        end_details: row.get(9)?,
        address: row.get(10)?,
        request_id: row.get(11)?,
        outcome: row.get(12)?,
    })
}

impl Catalog {
    /// Appends a record durably; returns the head before and the new one. An action ends once.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where `begins` names no action that goes on.
    pub fn append_audit(&self, record: &NewAuditRecord<'_>) -> Result<(AuditHead, AuditHead)> {
        self.durably(|c| {
            if let Some(begins) = record.begins {
                let goes_on = "SELECT EXISTS (SELECT 1 FROM audit WHERE seq = ?1 AND begins IS NULL AND outcome IS NULL)
                       AND NOT EXISTS (SELECT 1 FROM audit WHERE begins = ?1)";
                if !c.query_row(goes_on, [begins], |row| row.get(0))? {
                    return Err(CatalogError::NotFound { what: "action that goes on", name: begins.to_string() });
                }
            }
            let previous = head(c)?;
            let new = AuditHead { seq: previous.seq + 1, hash: record.hash(&previous) };
            c.prepare_cached(&format!(
                "INSERT INTO audit (seq, hash, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            ))?
            .execute(params![
                new.seq,
                new.hash,
                record.begins,
                record.time,
                record.user_id,
                record.username,
                record.action,
                record.resource_type,
                record.resource_id,
                record.details,
                record.address,
                record.request_id,
                record.outcome
            ])?;
            Ok((previous, new))
        })
    }

    /// The hash of a record.
    pub fn audit_hash(&self, seq: i64) -> Result<Option<[u8; 32]>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached("SELECT hash FROM audit WHERE seq = ?1")?;
        Ok(statement.query_row([seq], |row| Ok(row.get(0).ok())).optional()?.flatten())
    }

    /// Actions that the filter lets through, the newest first, and how many there are without limit and offset.
    pub fn audit(&self, filter: &AuditFilter) -> Result<(Vec<AuditRow>, u64)> {
        let mut conditions = String::from("b.begins IS NULL");
        let mut values: Vec<&dyn ToSql> = Vec::new();
        let wanted: [(&str, Option<&dyn ToSql>); 6] = [
            ("b.time >=", filter.from.as_ref().map(|value| value as _)),
            ("b.time <", filter.until.as_ref().map(|value| value as _)),
            ("b.seq <", filter.before.as_ref().map(|value| value as _)),
            ("b.user_id =", filter.user_id.as_ref().map(|value| value as _)),
            ("b.action =", filter.action.as_ref().map(|value| value as _)),
            ("b.resource_type =", filter.resource_type.as_ref().map(|value| value as _)),
        ];
        for (condition, value) in wanted {
            if let Some(value) = value {
                values.push(value);
                conditions.push_str(&format!(" AND {condition} ?{}", values.len()));
            }
        }
        let reader = self.pool.get()?;
        let c = reader.unchecked_transaction()?;
        let total: i64 =
            c.query_row(&format!("SELECT count(*) FROM audit b WHERE {conditions}"), &values[..], |row| {
                row.get(0)
            })?;
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let offset = i64::try_from(filter.offset).unwrap_or(i64::MAX);
        let mut statement = c.prepare(&format!(
            "SELECT b.seq, b.time, e.time, b.user_id, b.username, b.action, b.resource_type, ifnull(e.resource_id, b.resource_id),
               b.details, e.details, b.address, b.request_id, ifnull(b.outcome, e.outcome)
             FROM audit b LEFT JOIN audit e ON e.begins = b.seq
             WHERE {conditions} ORDER BY b.seq DESC LIMIT {limit} OFFSET {offset}"
        ))?;
        let rows = statement.query_map(&values[..], read)?.collect::<rusqlite::Result<_>>()?;
        Ok((rows, total.unsigned_abs()))
    }

    /// Checks every record against the chain; nothing is written. `anchor` is a record whose hash is wanted.
    pub fn check_audit(&self, anchor: i64) -> Result<AuditChain> {
        let reader = self.pool.get()?;
        let c = reader.unchecked_transaction()?;
        let mut statement = c.prepare(&format!(
            "SELECT seq, hash, {COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq LIMIT {BATCH}"
        ))?;
        let mut chain =
            AuditChain { sound: 0, fault: None, head: head(&c)?, anchor: (anchor == 0).then_some([0; 32]) };
        if c.query_row("SELECT EXISTS (SELECT 1 FROM audit WHERE seq < 1)", [], |row| row.get(0))? {
            chain.fault = Some("a record stands before the first".to_owned());
            return Ok(chain);
        }
        let mut at = AuditHead::START;
        loop {
            let from = at.seq;
            let mut rows = statement.query([from])?;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                if seq != at.seq + 1 {
                    chain.fault = Some(format!("record {} is missing: the next is {seq}", at.seq + 1));
                    return Ok(chain);
                }
                // A value of another type than its column's cannot come from us.
                let Ok(hash) = recorded_hash(row, &at) else {
                    chain.fault = Some(format!("record {seq} was altered: its columns cannot be read"));
                    return Ok(chain);
                };
                if row.get::<_, [u8; 32]>(1).ok() != Some(hash) {
                    chain.fault =
                        Some(format!("record {seq} was altered, or does not follow record {}", at.seq));
                    return Ok(chain);
                }
                at = AuditHead { seq, hash };
                chain.sound = seq;
                if seq == anchor {
                    chain.anchor = Some(hash);
                }
            }
            if at.seq == from {
                return Ok(chain);
            }
        }
    }
}

/// The hash that a record must have behind `previous`.
fn recorded_hash(row: &Row<'_>, previous: &AuditHead) -> rusqlite::Result<[u8; 32]> {
    let text =
        |column: usize| -> rusqlite::Result<Option<&str>> { Ok(row.get_ref(column)?.as_str_or_null()?) };
    let record = NewAuditRecord {
        begins: row.get(2)?,
        time: row.get(3)?,
        user_id: row.get(4)?,
        username: text(5)?.unwrap_or_default(),
        action: text(6)?.unwrap_or_default(),
        resource_type: text(7)?.unwrap_or_default(),
        resource_id: text(8)?,
        details: text(9)?.unwrap_or_default(),
        address: text(10)?,
        request_id: text(11)?,
        outcome: text(12)?,
    };
    Ok(record.hash(previous))
}
