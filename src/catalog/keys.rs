//! Encryption keys: the public half in the open, the private half sealed by `config`.

use rusqlite::{OptionalExtension, Row, params};

use super::error::changed_one;
use super::{Catalog, CatalogError, KeyId, Result};

/// A key to add. Its time is nanoseconds since the epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its name.
    pub name: String,
    /// The public recipient, `age1...`.
    pub recipient: String,
    /// `SHA256:` and the hash of the recipient.
    pub fingerprint: String,
    /// The private identity, sealed.
    pub sealed: Vec<u8>,
    /// When it is added.
    pub created: i64,
}

/// An encryption key. Times are nanoseconds since the epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    /// Id in this catalog.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// The public recipient, `age1...`.
    pub recipient: String,
    /// `SHA256:` and the hash of the recipient.
    pub fingerprint: String,
    /// The private identity, sealed.
    pub sealed: Vec<u8>,
    /// When it was added.
    pub created: i64,
    /// Since when nothing new is encrypted for it.
    pub retired: Option<i64>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncryptionKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

const SELECT: &str = "SELECT id, name, recipient, fingerprint, sealed, created, retired FROM encryption_key";

fn read(row: &Row<'_>) -> rusqlite::Result<EncryptionKey> {
    Ok(EncryptionKey {
        id: row.get(0)?,
        name: row.get(1)?,
        recipient: row.get(2)?,
        fingerprint: row.get(3)?,
        sealed: row.get(4)?,
        created: row.get(5)?,
        retired: row.get(6)?,
    })
}

impl Catalog {
    /// Adds a key.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] where the name is taken or the key is there under another one.
    pub fn add_key(&self, new: &NewKey) -> Result<KeyId> {
        self.durably(|c| {
            let other: Option<String> = c
                .query_row(
                    "SELECT name FROM encryption_key WHERE name = ?1 OR recipient = ?2",
                    params![new.name, new.recipient],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(name) = other {
                return Err(CatalogError::Exists { what: "encryption key", name });
            }
            c.execute(
                "INSERT INTO encryption_key (name, recipient, fingerprint, sealed, created) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![new.name, new.recipient, new.fingerprint, new.sealed, new.created],
            )?;
            Ok(KeyId(c.last_insert_rowid()))
        })
    }

    fn key_where(&self, condition: &str, value: &dyn rusqlite::ToSql) -> Result<Option<EncryptionKey>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE {condition} = ?1"))?;
        Ok(statement.query_row([value], read).optional()?)
    }

    /// The key with this id.
    pub fn key(&self, id: KeyId) -> Result<EncryptionKey> {
        let missing = || CatalogError::NotFound { what: "encryption key", name: id.to_string() };
        self.key_where("id", &id)?.ok_or_else(missing)
    }

    /// The key with this name.
    pub fn key_by_name(&self, name: &str) -> Result<Option<EncryptionKey>> {
        self.key_where("name", &name)
    }

    /// The key with this public half.
    pub fn key_by_recipient(&self, recipient: &str) -> Result<Option<EncryptionKey>> {
        self.key_where("recipient", &recipient)
    }

    /// All keys, in the order they were added.
    pub fn keys(&self) -> Result<Vec<EncryptionKey>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// From now on nothing new is encrypted for this key; what it was used for can still be read.
    pub fn retire_key(&self, id: KeyId, now: i64) -> Result<()> {
        self.durably(|c| {
            let sql = "UPDATE encryption_key SET retired = ifnull(retired, ?2) WHERE id = ?1";
            changed_one(c.execute(sql, params![id, now])?, "encryption key", id)
        })
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// [`CatalogError::InUse`] while a set in the catalog needs it to be read, or a job encrypts for it.
    pub fn remove_key(&self, id: KeyId) -> Result<()> {
        self.durably(|c| {
            let found: Option<(String, String)> = c
                .query_row("SELECT name, recipient FROM encryption_key WHERE id = ?1", [id], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let (name, recipient) = found
                .ok_or_else(|| CatalogError::NotFound { what: "encryption key", name: id.to_string() })?;
            let sets: i64 = c.query_row(
                "SELECT count(*) FROM backup_set, json_each(backup_set.recipients) WHERE json_each.value = ?1",
                [&recipient],
                |row| row.get(0),
            )?;
            let jobs: i64 =
                c.query_row("SELECT count(*) FROM job WHERE encryption_key_id = ?1", [id], |row| row.get(0))?;
            if sets > 0 || jobs > 0 {
                let by = format!("{sets} backup sets are encrypted for it and {jobs} jobs use it");
                return Err(CatalogError::InUse { what: "encryption key", name, by });
            }
            c.execute("DELETE FROM encryption_key WHERE id = ?1", [id])?;
            Ok(())
        })
    }
}
