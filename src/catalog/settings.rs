//! Settings that an administrator changes while the daemon runs: JSON values, and secrets sealed by `config`.

use rusqlite::{OptionalExtension, params};

use super::{Catalog, Result};

/// The value of a setting.
#[derive(Clone, PartialEq)]
pub enum SettingValue {
    /// What everybody who reads settings may see.
    Plain(serde_json::Value),
    /// A secret, sealed.
    Sealed(Vec<u8>),
}

impl std::fmt::Debug for SettingValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SettingValue::Plain(value) => write!(f, "Plain({value})"),
            SettingValue::Sealed(_) => f.write_str("Sealed"),
        }
    }
}

impl Catalog {
    /// The value of one setting.
    pub fn setting(&self, key: &str) -> Result<Option<SettingValue>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached("SELECT value, sealed FROM setting WHERE key = ?1")?;
        let found = statement
            .query_row([key], |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?)))
            .optional()?;
        found.map(value).transpose()
    }

    /// All settings, by key.
    pub fn settings(&self) -> Result<Vec<(String, SettingValue)>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached("SELECT key, value, sealed FROM setting ORDER BY key")?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get(2)?))))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        rows.into_iter().map(|(key, columns)| Ok((key, value(columns)?))).collect()
    }

    /// Sets what has a value and forgets what has none, all or nothing. `now` is nanoseconds since the epoch.
    pub fn set_settings(&self, changes: &[(String, Option<SettingValue>)], now: i64) -> Result<()> {
        self.durably(|c| {
            for (key, change) in changes {
                let (plain, sealed) = match change {
                    None => {
                        c.execute("DELETE FROM setting WHERE key = ?1", [key])?;
                        continue;
                    }
                    Some(SettingValue::Plain(value)) => (Some(value.to_string()), None),
                    Some(SettingValue::Sealed(bytes)) => (None, Some(bytes)),
                };
                c.execute(
                    "INSERT INTO setting (key, value, sealed, updated) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (key) DO UPDATE SET value = ?2, sealed = ?3, updated = ?4",
                    params![key, plain, sealed, now],
                )?;
            }
            Ok(())
        })
    }
}

fn value((plain, sealed): (Option<String>, Option<Vec<u8>>)) -> Result<SettingValue> {
    Ok(match (plain, sealed) {
        (Some(text), _) => SettingValue::Plain(serde_json::from_str(&text)?),
        (None, sealed) => SettingValue::Sealed(sealed.unwrap_or_default()),
    })
}
