//! Alerts: what drives complain of, from the first time until it is over.

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{CartridgeId, Catalog, Result};

/// How much an alert matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum AlertSeverity {
    /// For the record.
    Info = 0,
    /// Act soon.
    Warning = 1,
    /// Act now.
    Critical = 2,
}

impl AlertSeverity {
    fn from_number(number: u8) -> AlertSeverity {
        match number {
            0 => AlertSeverity::Info,
            1 => AlertSeverity::Warning,
            _ => AlertSeverity::Critical,
        }
    }
}

/// A reason to alert, as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// TapeAlert flag; 0 for what was found otherwise.
    pub flag: u8,
    /// How much it matters.
    pub severity: AlertSeverity,
    /// `cleaning`, `media`, `drive`, `library`, `operation`.
    pub category: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// It is the cartridge's, and stays with it.
    pub of_cartridge: bool,
}

/// An alert. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its number.
    pub id: i64,
    /// Serial number of the drive that told it.
    pub drive: String,
    /// The cartridge, where it is the cartridge's.
    pub cartridge: Option<CartridgeId>,
    /// TapeAlert flag; 0 for what was found otherwise.
    pub flag: u8,
    /// How much it matters.
    pub severity: AlertSeverity,
    /// `cleaning`, `media`, `drive`, `library`, `operation`.
    pub category: String,
    /// What is wrong and what to do.
    pub message: String,
    /// When it was first told.
    pub created: i64,
    /// When it was last told.
    pub last_seen: i64,
    /// When it was over.
    pub resolved: Option<i64>,
}

const COLUMNS: &str =
    "id, drive, cartridge_id, flag, severity, category, message, created, last_seen, resolved";

fn read(row: &Row<'_>) -> rusqlite::Result<Alert> {
    Ok(Alert {
        id: row.get(0)?,
        drive: row.get(1)?,
        cartridge: row.get(2)?,
        flag: row.get(3)?,
        severity: AlertSeverity::from_number(row.get(4)?),
        category: row.get(5)?,
        message: row.get(6)?,
        created: row.get(7)?,
        last_seen: row.get(8)?,
        resolved: row.get(9)?,
    })
}

impl Catalog {
    /// The drive complains of this: makes an alert, or notes that one which is open goes on. The alert where it is new.
    pub fn raise_alert(
        &self,
        drive: &str,
        cartridge: Option<CartridgeId>,
        complaint: &Complaint,
        now: i64,
    ) -> Result<Option<Alert>> {
        let cartridge = cartridge.filter(|_| complaint.of_cartridge);
        self.durably(|c| {
            let known = c.execute(
                "UPDATE health_alert SET last_seen = ?5 WHERE resolved IS NULL AND flag = ?3 AND category = ?4
                   AND (drive = ?1 OR cartridge_id IS NOT NULL) AND cartridge_id IS ?2",
                params![drive, cartridge, complaint.flag, complaint.category, now],
            )?;
            if known > 0 {
                return Ok(None);
            }
            c.execute(
                "INSERT INTO health_alert (drive, cartridge_id, flag, severity, category, message, created, last_seen)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
                params![
                    drive, cartridge, complaint.flag, complaint.severity as u8, complaint.category, complaint.message, now
                ],
            )?;
            let sql = format!("SELECT {COLUMNS} FROM health_alert WHERE id = ?1");
            Ok(c.query_row(&sql, [c.last_insert_rowid()], read).optional()?)
        })
    }

    /// What the drive, with this cartridge in it, does not complain of any more is over. Alerts of other cartridges stay:
    /// their flags went with them. How many were resolved.
    pub fn resolve_cleared(
        &self,
        drive: &str,
        cartridge: Option<CartridgeId>,
        flags: u64,
        now: i64,
    ) -> Result<usize> {
        let open = self.open_alerts()?;
        let over = open.into_iter().filter(|alert| {
            let here = match alert.cartridge {
                Some(of) => Some(of) == cartridge,
                None => alert.drive == drive,
            };
            here && alert.flag > 0 && flags >> (alert.flag - 1) & 1 == 0
        });
        let over: Vec<i64> = over.map(|alert| alert.id).collect();
        if over.is_empty() {
            return Ok(0);
        }
        self.durably(|c| {
            let mut resolve = c.prepare_cached("UPDATE health_alert SET resolved = ?2 WHERE id = ?1")?;
            for id in &over {
                resolve.execute(params![id, now])?;
            }
            Ok(over.len())
        })
    }

    /// All open alerts of one category of a drive are over.
    pub fn resolve_category(&self, drive: &str, category: &str, now: i64) -> Result<usize> {
        self.durably(|c| {
            Ok(c.execute(
                "UPDATE health_alert SET resolved = ?3 WHERE drive = ?1 AND category = ?2 AND resolved IS NULL",
                params![drive, category, now],
            )?)
        })
    }

    /// Alerts of a drive, the newest first.
    pub fn alerts(&self, drive: &str, limit: usize) -> Result<Vec<Alert>> {
        let reader = self.pool.get()?;
        let sql = format!(
            "SELECT {COLUMNS} FROM health_alert WHERE drive = ?1 ORDER BY created DESC, id DESC LIMIT ?2"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = reader.prepare_cached(&sql)?;
        Ok(statement.query_map(params![drive, limit], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// All alerts that are not over, the newest first.
    pub fn open_alerts(&self) -> Result<Vec<Alert>> {
        let reader = self.pool.get()?;
        let sql = format!(
            "SELECT {COLUMNS} FROM health_alert WHERE resolved IS NULL ORDER BY created DESC, id DESC"
        );
        let mut statement = reader.prepare_cached(&sql)?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }
}
